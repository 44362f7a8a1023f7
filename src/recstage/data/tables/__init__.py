"""Tables of any format, read by one rule: every row is kept or counted, and named by its line in the file."""
