"""Snapshots of the service's database: what it held at one moment, as Parquet files named by their content."""
