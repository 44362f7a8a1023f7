"""What an unknown file holds: how it is written, what its columns mean, counts, and what looks wrong."""
