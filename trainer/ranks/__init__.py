"""Data parallelism: collectives, sharding, and what all ranks must hold alike."""
