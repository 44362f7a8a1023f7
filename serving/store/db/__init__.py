"""Connections, tables, the writer thread and compiled reads."""
