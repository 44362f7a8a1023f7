"""The service's own database: people, items, events, what was shown and what came of it, precomputed lists."""
