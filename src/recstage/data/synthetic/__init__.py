"""The seeded generator of data sets."""
