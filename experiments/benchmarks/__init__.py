"""Benchmarks of the service under load and under faults: `python -m experiments.benchmarks` prints the table."""
