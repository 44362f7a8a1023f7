"""`recstage init`: from an unknown file to a data set of conf/data."""
