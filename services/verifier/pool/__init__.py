"""Confined worker processes with a hard time limit: :class:`Pool`, its limits, and why it could not answer."""

from services.verifier.pool.pool import Pool, PoolError, PoolLimits

__all__ = ["Pool", "PoolError", "PoolLimits"]
