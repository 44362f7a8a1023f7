"""What the neural models share: the training loop and the losses."""
