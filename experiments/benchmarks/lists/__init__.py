"""What lists cost besides the plain one: with business rules."""
