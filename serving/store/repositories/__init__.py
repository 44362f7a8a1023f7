"""Reads and writes, one kind of record each."""
