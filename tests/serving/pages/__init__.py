"""A package, so that the browser of `conftest.py` ends with its last test: while it runs, so does an event loop."""
