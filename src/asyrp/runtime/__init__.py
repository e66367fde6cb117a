"""What a process asks of its machine: threads, memory, other processes, downloads."""
