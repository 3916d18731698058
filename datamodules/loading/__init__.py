"""How examples are stored, drawn and fetched, and how a resumed training finds its place."""
