"""One module a command, each with run(options). Only here and in cli.py is anything printed."""
