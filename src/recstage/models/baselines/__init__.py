"""Baselines that every model must beat."""
