"""The service as replicas on a Ray cluster: `python -m serving.ray`."""
