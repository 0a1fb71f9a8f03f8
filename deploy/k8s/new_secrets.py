"""Print new Secrets for deploy/k8s as one JSON List; standard library only.

    python3 deploy/k8s/new_secrets.py vapo-tokens | kubectl apply --server-side -f -

Names: vapo-tokens, vapo-redis-password. Server-side, since a client-side apply would leave the
values in an annotation as well. Nothing is written to disk; `kubectl get secret` reads a value
back. docs/operations.md says what to restart afterwards.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Sequence
from typing import Any

NAMESPACE = "vapo"
KEYS = {"vapo-tokens": ("user_token", "admin_token", "service_token"), "vapo-redis-password": ("password",)}
RANDOM_BYTES = 32


def main(names: Sequence[str]) -> int:
    """Print the Secrets called ``names``; 2 when there are none of that name."""
    if not names or set(names) - set(KEYS):
        print(f"usage: new_secrets.py NAME...   names: {', '.join(KEYS)}", file=sys.stderr)
        return 2
    items = [new_secret(name) for name in names]
    print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))
    return 0


def new_secret(name: str) -> dict[str, Any]:
    """A Secret with fresh values."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "type": "Opaque",
        "stringData": {key: secrets.token_urlsafe(RANDOM_BYTES) for key in KEYS[name]},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
