"""Starting parts as processes on one machine, keeping them running, and leaving none behind."""
