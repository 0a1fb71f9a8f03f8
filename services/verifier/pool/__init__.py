"""Confined worker processes with a hard time limit: :class:`Pool`, and why it could not answer."""

from services.verifier.pool.pool import Pool, PoolError

__all__ = ["Pool", "PoolError"]
