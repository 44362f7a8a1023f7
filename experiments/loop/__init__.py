"""Measurements of the closed loop, each one command."""
