"""From settings files, environment and command line to the tree, and back.

Resolution order, later wins: defaults, preset, TOML or JSON file, environment
(``VAPO__SECTION__KEY``), ``--set section.key=value``.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr, ValidationError

from vapo.settings.common import SecuritySettings
from vapo.settings.refusals import explain
from vapo.settings.renamed import without_renamed
from vapo.settings.tree import Settings
from vapo.startup import StartupError

ENVIRONMENT_PREFIX = "VAPO__"


class SettingsError(StartupError, ValueError):
    """A settings source holds an unknown key or an impossible value; the text names the remedy."""


def load_settings(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Settings:
    """Resolve the tree from its sources.

    Args:
        file: TOML or JSON file, or None.
        assignments: ``section.key=value`` strings; values are JSON, or else plain text.
        environment: variables to read ``VAPO__SECTION__KEY`` from; the process's by default.
        base: nested differences from the defaults that come first (a preset).

    Raises:
        SettingsError: unknown key, unreadable file or impossible value; the text says what to do.
    """
    tree = merged(base or {}, _read_file(file), _from_environment(environment), _from_assignments(assignments))
    try:
        return Settings.model_validate(without_renamed(tree))
    except ValidationError as error:
        raise SettingsError(explain(error)) from None
    except ValueError as error:
        raise SettingsError(str(error)) from None


def dump_settings(settings: Settings, reveal_secrets: bool = False) -> dict[str, Any]:
    """The tree as JSON-ready values; tokens are masked unless ``reveal_secrets``."""
    tree = settings.model_dump(mode="json")
    if reveal_secrets:
        for name in SecuritySettings.model_fields:
            token = getattr(settings.security, name)
            tree["security"][name] = token.get_secret_value() if token else None
    return tree


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested layers as one; what a later one says wins."""
    tree: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = tree.get(key)
            tree[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return tree


def _read_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")  # Windows editors begin with a mark
        tree = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {file}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"the settings file {file} is not valid: {error}") from None
    if not isinstance(tree, dict):
        raise SettingsError(
            f"the settings file {file} holds a {type(tree).__name__}; write one "
            'JSON object of sections, {"run": {"seed": 1}}'
        )
    return tree


def _from_environment(environment: Mapping[str, str] | None) -> dict[str, Any]:
    variables = os.environ if environment is None else environment
    return _nest(
        (name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"), value)
        for name, value in variables.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    )


def _from_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    pairs = []
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment!r} has no '='; write section.key=value")
        pairs.append((key.strip().split("."), value))
    return _nest(pairs)


def _nest(pairs: Iterable[tuple[list[str], str]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, text in pairs:
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise SettingsError(
                    f"{name!r} is set to a value and {'.'.join(path)!r} to "
                    "another; set the keys of a section one by one"
                )
        node[path[-1]] = _parse(path, text)
    return tree


def _parse(path: Sequence[str], text: str) -> Any:
    """JSON, or else plain text. What a name, path or token is given is text also if it looks like a
    number: a run may be called 2026.
    """
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, (int, float)) and _holds_text(path) else value


def _holds_text(path: Sequence[str]) -> bool:
    section = Settings.model_fields.get(path[0])
    fields = section.annotation.model_fields if section else {}  # type: ignore[union-attr]
    field = fields.get(path[1]) if len(path) == 2 else None
    kinds = {field.annotation, *get_args(field.annotation)} if field else set()
    return not kinds.isdisjoint((str, Path, SecretStr))
