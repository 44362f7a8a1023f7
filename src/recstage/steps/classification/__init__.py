"""Steps of the item classifier."""
