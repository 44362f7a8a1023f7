"""What users do: events, and feedback on lists."""
