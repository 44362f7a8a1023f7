"""The item classifier as it is served."""
