"""Production and Staging at once: which version a user gets, shadow scoring, Thompson sampling."""
