"""Learned patterns of users, as they are stored."""
