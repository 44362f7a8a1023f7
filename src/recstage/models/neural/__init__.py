"""Shared by the neural models: the training loop and the losses."""
