"""What all parts of the platform share: messages, ledger, weights, settings, service shell.

Invariant: nothing in this package imports ``services`` or ``trainer``, and only
:mod:`vapo.model` imports torch, in three modules (``critic``, ``devices``, ``folder.loading``), so that
the gateway and the verifier stay light.
"""

__version__ = "0.1.0"
