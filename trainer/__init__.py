"""The trainer: actor and critic, VAPO updates, checkpoints and weight publication."""

from __future__ import annotations
