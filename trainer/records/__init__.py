"""What a step leaves behind for people: report, mismatch, status, metrics file."""
