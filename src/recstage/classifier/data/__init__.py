"""Labelled texts: reading, splitting, augmenting."""
