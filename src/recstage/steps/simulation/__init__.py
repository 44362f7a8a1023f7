"""Simulated users who act against a running service."""
