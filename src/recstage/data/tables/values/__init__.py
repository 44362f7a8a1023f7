"""Columns of any writing as what they mean: ids, numbers, times, attributes of items."""
