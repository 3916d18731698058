"""Several processes that train together do what one does; helpers/ranks.py is what they run."""

from __future__ import annotations

