"""A copy of Redis's folder is a backup of the ledger, even when taken while Redis runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.ledger.test_ledger_moves import make_generated
from tests.support.ledger_records import close, settings_for, task
from vapo.ledger import Ledger
from vapo.ledger.audit import audit
from vapo.local.private_redis import PrivateRedis, prepare, process_spec, wait_ready
from vapo.local.supervision.supervisor import Supervisor


@contextmanager
def running(folder: Path) -> Iterator[tuple[PrivateRedis, Ledger]]:
    """A private Redis on ``folder``, and a ledger in it."""
    server = prepare(folder)
    supervisor = Supervisor(lambda message: None)
    supervisor.start([process_spec(server, folder.with_suffix(".log"), folder.with_suffix(".pid"))])
    try:
        wait_ready(server)
        ledger = Ledger.open(settings_for(server.settings, "run.name=kept"))
        yield server, ledger
        close(ledger)
    finally:
        supervisor.stop()


def test_a_ledger_is_restored_from_a_copy_of_a_running_redis(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as (_, ledger):
        make_generated(ledger, "done")
        ledger.submit([task(f"waiting-{number}") for number in range(20)])
        before = ledger.depths(), ledger.counters(), audit(ledger).places
        shutil.copytree(tmp_path / "redis", tmp_path / "backup")
        ledger.submit([task("after-the-backup")])
    shutil.rmtree(tmp_path / "redis")
    shutil.copytree(tmp_path / "backup", tmp_path / "redis")
    with running(tmp_path / "redis") as (_, ledger):
        assert (ledger.depths(), ledger.counters(), audit(ledger).places) == before
        assert audit(ledger).lost == ()
        assert ledger.task("after-the-backup") is None
        assert ledger.submit([task("after-the-backup")])[0]


def test_a_new_password_is_made_for_the_data_that_is_there(tmp_path: Path) -> None:
    with running(tmp_path / "redis") as (server, ledger):
        ledger.submit([task("a")])
        old = server.password_file.read_text(encoding="ascii")
    server.password_file.unlink()
    with running(tmp_path / "redis") as (server, ledger):
        assert server.password_file.read_text(encoding="ascii") != old
        assert ledger.task("a") is not None
