"""Users for an item (its audience): ranked by the reverse model or by content, cached, precomputed, counted."""
