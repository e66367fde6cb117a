"""The method: one idea of the paper a file. Knows torch and nothing of files of others."""
