"""How good a recommender is: metrics, the protocols that feed them, segments of users, and significance."""
