"""Starting parts as processes on this machine, keeping them running, and leaving none behind."""
