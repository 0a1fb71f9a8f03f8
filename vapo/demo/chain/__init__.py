"""The demo task: chains of additions and subtractions, graded by their number of terms.

Nothing here imports torch, so the gateway and the command line can make problem sets.
"""

from __future__ import annotations
