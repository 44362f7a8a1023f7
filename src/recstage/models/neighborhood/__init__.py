"""Neighbourhood models: items, users, graph walks and transitions."""
