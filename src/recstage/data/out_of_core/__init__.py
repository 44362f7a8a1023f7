"""Preparing data sets that do not fit into memory: DuckDB sorts the events on disk, users are cut in blocks."""
