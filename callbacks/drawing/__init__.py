"""How pictures look: the theme, and what several pictures draw alike."""
