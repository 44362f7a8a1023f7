"""What is learned of a user: taste by category, and activity."""
