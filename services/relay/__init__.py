"""The relay: fetches each weight version once for all replicas of a host."""
