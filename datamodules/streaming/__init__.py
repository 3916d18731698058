"""Chunks of examples: written, fetched, kept and read."""
