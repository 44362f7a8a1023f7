"""Registry operations as steps: register, compare, promote, roll back, history, prune."""
