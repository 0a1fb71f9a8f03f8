"""`vapo audit`: where every sample of the run is, read straight from its Redis; 1 if any is lost.

Stop or pause the run first: in a ledger that is busy a sample may seem lost between two reads.
"""

from __future__ import annotations

import argparse
import json

from redis.exceptions import RedisError

from vapo.cli.errors import CommandError
from vapo.cli.settings_options import add_settings_options, settings_from
from vapo.ledger import Ledger
from vapo.ledger.audit import audit
from vapo.settings import SettingsError

PATIENCE_SECONDS = 10.0
LOST_SHOWN = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_settings_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one JSON object: counts by place, and the first lost ids."""
    settings = settings_from(arguments)
    try:
        ledger = Ledger.open(settings, PATIENCE_SECONDS)
        found = audit(ledger)
    except (RedisError, SettingsError) as error:
        raise CommandError(f"cannot read the ledger at {settings.redis.url}: {error}") from None
    ledger.redis.close()
    lost = list(found.lost)
    print(json.dumps({"places": found.places, "lost": len(lost), "lost_ids": lost[:LOST_SHOWN]}))
    return 1 if lost else 0
