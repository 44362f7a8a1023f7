"""Data access, one module for each kind of record."""
