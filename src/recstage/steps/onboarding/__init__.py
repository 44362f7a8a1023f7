"""`recstage init`: from a file that nobody has seen to a data set of conf/data."""
