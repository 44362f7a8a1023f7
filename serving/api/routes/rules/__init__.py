"""Business rules for editors: the rules, and their versions."""
