"""The models that serve: fetched, verified, loaded and replaced as the registry says."""
