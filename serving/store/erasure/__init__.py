"""Erasing a user: at once what callers are promised, then a recorded task for what takes long."""
