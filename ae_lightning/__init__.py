"""Autoencoders as one objective: Lightning modules, regularizers, corrupted pairs and pictures."""
