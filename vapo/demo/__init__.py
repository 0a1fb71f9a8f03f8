"""`vapo demo`: the whole platform on one machine, from a base checkpoint to a measured lift."""
