"""A folder that holds a model: what must lie in it, which forms are supported, and loading it."""
