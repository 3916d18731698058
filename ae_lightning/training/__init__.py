"""What no formula mentions: run directory, checkpoints, signals, processes, metrics file."""
