"""What no formula mentions: run directory, checkpoints, signals, guards, processes."""
