"""Filters of items by their attributes, and the business rules that editors set: values and arrays, no HTTP, no SQL."""
