"""What training and batch jobs take from the database, and put into it."""
