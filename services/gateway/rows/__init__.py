"""What people send: from bytes to rows, and from rows to tasks."""
