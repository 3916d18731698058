"""Densities and curves whose scores and tangents are known."""
