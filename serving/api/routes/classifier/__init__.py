"""Routes of the item classifier."""
