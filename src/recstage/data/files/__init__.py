"""Reading files: folders and archives, delimited text, times, layouts, downloads."""
