"""VAPO as pure functions: ``objective.py`` composes them, every other file holds one idea.

Nothing here reads a file, a socket, a clock or a random number, and nothing knows a model.
"""
