"""The verifier: judges a math answer against its reference."""
