"""The service's own database: users, items, events, impressions, feedback, precomputed lists, lineage."""
