"""The services: each folder is one process with its own HTTP app and queue worker."""
