"""Retraining: when it is due, challengers on fresh data, the winner as Staging; and the scheduler that asks."""
