"""What training and batch jobs read from the database and write to it."""
