"""What lists cost: each endpoint, business rules, two versions at once, until they are painted in a browser."""
