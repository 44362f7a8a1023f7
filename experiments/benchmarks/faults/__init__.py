"""Every fault that the service must survive, in one table: `python -m experiments.benchmarks faults`."""
