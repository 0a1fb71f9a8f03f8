"""`python -m vapo.cli`: the same as the console script `vapo`."""

from __future__ import annotations

import sys

from vapo.cli.dispatch import main

sys.exit(main())
