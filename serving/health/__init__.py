"""What is wrong with a running service: one list of conditions for the routes, the metrics and the log."""
