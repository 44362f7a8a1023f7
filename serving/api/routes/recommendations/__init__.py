"""Lists of items or users, and scores."""
