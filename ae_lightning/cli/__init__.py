"""The command line: `main` dispatches to one file per command; evaluate holds three of them."""
