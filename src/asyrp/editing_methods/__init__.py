"""Methods of editing, each on any domain that gives what it needs."""
