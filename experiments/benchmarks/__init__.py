"""Benchmarks and fault injection for the service: `python -m experiments.benchmarks --help` lists them."""
