"""Tests, in folders that mirror the package; what several share is in helpers."""
