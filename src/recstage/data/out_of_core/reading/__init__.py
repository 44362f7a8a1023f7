"""Raw events in a form that the engine reads: streamed where each value can be read for itself, else spilled."""
