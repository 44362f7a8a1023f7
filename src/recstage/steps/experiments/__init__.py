"""Experiments on live users: beginning one, reading it, watching a fresh Production."""
