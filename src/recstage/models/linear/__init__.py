"""Linear item-to-item models, for histories whose order says nothing: EASE, SLIM and filters on the item graph."""
