"""Data parallelism: this process among the others, collectives, files that all ranks write together."""
