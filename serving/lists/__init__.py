"""Lists besides the one for a known user: many users at once, a session, given candidates, similar items."""
