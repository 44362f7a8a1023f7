"""A copy of what the registry says of a model, written by the sync process and read by the operations page."""
