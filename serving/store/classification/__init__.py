"""Categories that the item classifier gave: stored beside those of a person, never over them."""
