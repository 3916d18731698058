"""What experiments share."""


class Failed(Exception):
    """What an experiment checks does not hold."""
