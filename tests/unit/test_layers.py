"""Which room may import which, and which parts stay light. A room is a folder that holds Python files.

Invariants, held over every import, the lazy ones included:
- an arrow between rooms stands in ALLOWED, and ALLOWED has no arrow that nobody needs;
- `services` and `trainer` import `vapo`, never each other; no service imports another; nothing of these imports `lab`,
  which may import all of them;
- no circle between rooms. Where a folder has sub-rooms, each file of its own counts for itself: `app.py` may put the
  sub-rooms together, and these may use what lies beside it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.support.rooms import ROOT, files, imports, room, rooms

ALLOWED = {
    "vapo": "",
    "vapo/telemetry": "",
    "vapo/processes": "",
    "vapo/settings": "vapo",
    "vapo/ledger": "vapo vapo/settings vapo/telemetry",
    "vapo/service": "vapo vapo/ledger vapo/settings vapo/telemetry",
    "vapo/model/folder": "vapo",
    "vapo/model/text": "vapo vapo/settings",
    "vapo/model": "vapo vapo/model/folder vapo/settings",
    "vapo/weights": "vapo vapo/ledger vapo/model/folder vapo/model/text vapo/service vapo/settings",
    "vapo/local/run_folders": "vapo vapo/ledger vapo/local vapo/local/supervision vapo/model/folder vapo/service "
    "vapo/settings",
    "vapo/local/supervision": "vapo vapo/processes vapo/service",
    "vapo/local": "vapo vapo/ledger vapo/local/run_folders vapo/local/supervision vapo/model/folder "
    "vapo/model/text vapo/processes vapo/settings",
    "vapo/data_files": "vapo/processes",
    "vapo/client": "vapo/local vapo/local/run_folders vapo/service",
    "vapo/planning": "vapo/local/run_folders vapo/settings",
    "vapo/demo/chain": "vapo",
    "vapo/cli/output": "vapo/cli vapo/client vapo/ledger vapo/local/run_folders",
    "vapo/cli": "vapo vapo/cli/output vapo/client vapo/ledger vapo/local vapo/local/run_folders vapo/processes "
    "vapo/settings",
    "vapo/cli/sending": "vapo vapo/cli vapo/client vapo/data_files vapo/processes vapo/settings",
    "vapo/demo": "vapo vapo/cli vapo/cli/output vapo/client vapo/demo/chain vapo/ledger vapo/local "
    "vapo/local/run_folders vapo/local/supervision vapo/settings",
    "vapo/cli/commands": "vapo vapo/cli vapo/cli/output vapo/cli/sending vapo/client vapo/ledger "
    "vapo/local vapo/local/run_folders vapo/local/supervision vapo/model/folder vapo/planning vapo/processes "
    "vapo/settings vapo/weights",
    "services": "",
    "services/gateway/rows": "vapo vapo/data_files vapo/ledger vapo/model/text vapo/service vapo/settings",
    "services/gateway/routes": "services/gateway services/gateway/rows vapo vapo/data_files vapo/ledger vapo/model "
    "vapo/service vapo/settings",
    "services/gateway": "services/gateway/routes services/gateway/rows vapo vapo/data_files vapo/ledger "
    "vapo/model/folder vapo/model/text vapo/service vapo/settings vapo/telemetry vapo/weights",
    "services/generator/engine": "vapo vapo/model/folder vapo/processes vapo/settings vapo/telemetry",
    "services/generator/openai": "services/generator services/generator/engine vapo/model vapo/service vapo/settings",
    "services/generator": "services/generator/engine services/generator/openai vapo vapo/ledger vapo/model "
    "vapo/model/folder vapo/model/text vapo/service vapo/settings vapo/telemetry vapo/weights",
    "services/verifier/judgement": "",
    "services/verifier/pool": "services/verifier/judgement vapo/processes vapo/settings",
    "services/verifier": "services/verifier/judgement services/verifier/pool vapo vapo/ledger vapo/service "
    "vapo/settings vapo/telemetry",
    "services/value": "vapo vapo/ledger vapo/model vapo/model/folder vapo/service vapo/settings vapo/weights",
    "services/relay": "vapo vapo/ledger vapo/service vapo/settings vapo/weights",
    "trainer/algorithm": "vapo/settings",
    "trainer/ranks": "vapo/model",
    "trainer/learning": "trainer/algorithm trainer/ranks vapo vapo/model vapo/model/folder vapo/settings",
    "trainer/records": "trainer/algorithm trainer/learning vapo/ledger vapo/local/run_folders",
    "trainer/intake": "trainer/learning trainer/ranks trainer/records vapo vapo/ledger vapo/weights",
    "trainer": "trainer/intake trainer/learning trainer/ranks trainer/records vapo vapo/ledger vapo/model "
    "vapo/model/folder vapo/model/text vapo/service vapo/settings vapo/telemetry vapo/weights",
    "lab": "",
    "lab/base_model": "",
    "lab/study": "lab lab/base_model",
    "lab/benchmarks": "",
}
"""What each room may import, lower rooms first. `lab` may import all of the product besides."""

BESIDE = ("deploy", "docs", "examples", "scripts", "tests")
"""Folders of the tree in docs/architecture.md that are no rooms."""

ARROWS = [(found, room(found.importer), room(found.imported)) for found in imports()]


def allowed(importer: str) -> set[str]:
    return {importer, *ALLOWED.get(importer, "").split()}


def product(name: str) -> bool:
    return not name.startswith("lab")


def test_the_table_names_every_room_and_no_other() -> None:
    assert sorted(ALLOWED) == rooms(), "a new room belongs into ALLOWED of tests/unit/test_layers.py, a removed one out"


@pytest.mark.parametrize("importer", rooms())
def test_no_arrow_is_new(importer: str) -> None:
    new = [
        f"{found}: a new arrow {importer} -> {imported}; if it is meant, add it to ALLOWED in tests/unit/test_layers.py"
        for found, here, imported in ARROWS
        if here == importer and imported not in allowed(importer) and (product(importer) or not product(imported))
    ]
    assert not new, "\n".join(new)


def test_no_allowed_arrow_is_unused() -> None:
    used = {(importer, imported) for _, importer, imported in ARROWS}
    idle = [
        f"{importer} -> {other}"
        for importer in ALLOWED
        for other in allowed(importer) - {importer}
        if (importer, other) not in used
    ]
    assert not idle, f"arrows that nobody needs any more; take them out of ALLOWED: {idle}"


def test_the_table_keeps_the_rules() -> None:
    wrong = [
        f"{importer} -> {imported}"
        for importer in filter(product, ALLOWED)
        for imported in allowed(importer)
        if house(imported) not in ("vapo", house(importer))
    ]
    assert not wrong, f"against the rules of this module's docstring: {wrong}"


def house(name: str) -> str:
    """What stands alone: `vapo`, `trainer`, `lab`, or one service."""
    return "/".join(name.split("/")[:2]) if name.startswith("services/") else name.split("/")[0]


def test_the_tree_in_the_docs_names_every_room_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    lines = re.findall(r"^( *)(\w+)/ +\S.*$", page.split("\n## Rooms\n")[1].split("```")[1], re.MULTILINE)
    path: list[str] = []
    tree = []
    for indent, name in lines:
        path = [*path[: len(indent) // 2], name]
        tree.append("/".join(path))
    assert sorted(tree) == sorted([*rooms(), *BESIDE]), "docs/architecture.md, Rooms: one line for each room"


def test_no_circle_between_rooms() -> None:
    split = {parent.as_posix() for file in files() for parent in file.parent.parents} & set(rooms())
    graph: dict[str, set[str]] = defaultdict(set)
    for found in imports():
        importer, imported = (
            file.as_posix() if room(file) in split else room(file) for file in (found.importer, found.imported)
        )
        if importer != imported:
            graph[importer].add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle between rooms: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize(
    "module", ["services.gateway.process", "services.verifier.process", "services.relay.process", "vapo.cli"]
)
def test_light_parts_do_without_torch(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'vllm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
