"""Hundredfold simulations of experiments, rollbacks and off-policy estimates, on simulated users."""
