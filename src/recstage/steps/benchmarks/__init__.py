"""Measurements: models against each other and against other libraries."""
