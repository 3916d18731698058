"""The machinery of pictures: the theme, what several of them share, and files."""
