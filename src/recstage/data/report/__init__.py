"""The validation report of a prepared data set: what was read and dropped, distributions, drift; as JSON and a page."""
