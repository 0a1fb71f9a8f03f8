"""Whether an answer is the reference: mathematics, without the service around it."""
