"""What there is to recommend."""
