"""Experiments on live users: who sees what, what came of it, what may be concluded. Pure functions."""
