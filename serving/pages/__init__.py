"""The web pages of the service: the storefront, the operations page, and the tracker for other sites."""
