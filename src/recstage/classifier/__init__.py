"""Multi-label text classification: the categories of an item from its text."""
