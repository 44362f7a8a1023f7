"""The service under load and under faults, measured from outside: `python -m serving.drills` prints the table."""
