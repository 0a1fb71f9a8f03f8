"""Confined worker processes with a hard time limit."""
