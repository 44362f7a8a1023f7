"""The registry as the record: what was, what a version was made from and of whom, and versions as files."""
