"""Lists that are the same for all users: popular, trending and latest items, from live events."""
