"""What the item classifier costs and what it is worth."""
