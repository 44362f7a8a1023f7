"""What grows with the data: catalogues of up to a million items, and clusters of more than one machine."""
