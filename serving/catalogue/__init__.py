"""What is known of items: the service's own catalogue over the one of the served version."""
