"""The supervised warm-up that makes the demo's base checkpoint.

``python -m lab.base_model --out FOLDER --seed 0`` writes a complete Hugging Face folder.
"""

from __future__ import annotations
