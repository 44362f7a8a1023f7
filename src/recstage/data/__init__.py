"""Data: from files, databases and the generator to `Interactions`, `Catalogue` and splits."""
