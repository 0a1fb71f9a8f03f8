"""Registers our loader and weight transfer engine in vLLM's workers when the project is not
installed.

vLLM imports :class:`WorkerExtension` by name in every worker (``worker_extension_cls``), before it
creates the transfer engine; the import is what counts.
"""

from __future__ import annotations

from services.generator.engine.weight_plugin import register

register()


class WorkerExtension:
    """Adds nothing to the worker it is mixed into."""
