"""What a step leaves behind for people: metrics, mismatch, status, times."""
