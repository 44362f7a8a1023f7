"""From a request to a ranked list: no HTTP, no SQL, no registry."""
