"""Families of text classifiers behind one contract: linear, transformer, and the ensemble of both."""
