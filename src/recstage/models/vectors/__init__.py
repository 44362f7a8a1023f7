"""Models whose score is a dot product of two vectors, and the index that finds their best items in large catalogues."""
