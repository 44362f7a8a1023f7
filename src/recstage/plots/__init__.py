"""Plots of runs and of models: plain numbers in, a matplotlib figure out."""
