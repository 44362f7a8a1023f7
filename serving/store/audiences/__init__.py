"""Users for an item, stored ahead of time: the rows, and the batch job that makes them."""
