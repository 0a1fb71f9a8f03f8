"""The platform under Docker Compose; run with `make compose-test`, not collected by pytest."""
