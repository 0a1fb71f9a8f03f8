"""Rank 0 and the ledger: what to do next, and the rollouts to do it with."""
