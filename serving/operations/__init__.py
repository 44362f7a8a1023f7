"""What the operations page shows and does: live figures, click-through by version, drift, changes of the registry."""
