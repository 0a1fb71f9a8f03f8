"""Which gateway and token a command takes, and what it says when the gateway is not there."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running_gateway import RunningGateway
from vapo.cli import main
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.run_folders.run_outcome import kept, note_training
from vapo.settings import Settings, load_settings

USER_TOKEN = "u" * 20
SECRETS = {"user_token": USER_TOKEN, "admin_token": "a" * 20, "service_token": "x" * 20}
ASSIGNMENTS = [f"security.{name}={token}" for name, token in SECRETS.items()]
AT_ONCE_SECONDS = 20.0
"""Far below the patience of `submit` and `eval`, far above what a slow machine needs."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAPO_URL", raising=False)
    monkeypatch.delenv("VAPO_TOKEN", raising=False)
    (tmp_path / "problems.jsonl").write_text('{"prompt": "1+1=?", "answer": "2"}\n')
    return tmp_path


def in_folder(settings: Settings, url: str, name: str = "mine") -> Path:
    """The run's folder of a gateway that is served at `url`."""
    port = int(url.rpartition(":")[2])
    section = settings.gateway.model_copy(update={"port": port, "host": "127.0.0.1"})
    folder = Path("runs") / name
    RunFolder(folder).write_settings(settings.model_copy(update={"gateway": section}))
    return folder


@pytest.fixture
def guarded(make_gateway: Callable[..., RunningGateway]) -> RunningGateway:
    """A gateway that asks for tokens, in the folder runs/mine."""
    running = make_gateway(*ASSIGNMENTS)
    in_folder(running.settings, running.url)
    return running


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 1
    return capsys.readouterr().err


@pytest.mark.usefixtures("guarded")
def test_a_token_that_is_given_is_the_one_that_is_sent(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], guarded: RunningGateway
) -> None:
    """Whatever the gateway was found by: a wrong token fails, a right one is enough."""
    (here / "wrong").write_text("wrong\n")
    (here / "right").write_text(f"{USER_TOKEN}\n")
    places = ([], ["--run", "mine"], ["--url", guarded.url], ["--url", guarded.url + "/"])
    for place in places:
        assert "token of --token is not enough" in refused(capsys, "status", *place, "--token", "wrong")
        assert "token of --token-file wrong" in refused(capsys, "status", *place, "--token-file", "wrong")
        assert main(["status", *place, "--token-file", "right"]) == 0
        assert main(["status", *place, "--token", USER_TOKEN]) == 0
    monkeypatch.setenv("VAPO_URL", guarded.url)
    assert "no token was sent" in refused(capsys, "status")
    monkeypatch.setenv("VAPO_TOKEN", "wrong")
    assert "token of $VAPO_TOKEN" in refused(capsys, "status")
    assert main(["status", "--token", USER_TOKEN]) == 0
    assert main(["status", "--run", "mine"]) == 0  # the run's own token, not the environment's


@pytest.mark.parametrize(
    "words",
    [
        ["--url", "http://127.0.0.1:9", "--run", "mine"],
        ["--token", "a", "--token-file", "b"],
        ["--token", ""],
        ["--url", " "],
    ],
)
def test_options_that_cannot_hold_together_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["status", *words])
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--url", "127.0.0.1:8000"], "write http://127.0.0.1:8000"),
        (["--url", "localhost:8000"], "write http://localhost:8000"),
        (["--url", "ftp://127.0.0.1:8000"], "is no address of a gateway"),
        (["--url", "http://:8000"], "is no address of a gateway"),
        (["--url", "http://127.0.0.1:99999"], "is no address of a gateway"),
        (["--url", "http://127.0.0.1:8000/?token=x"], "is no address of a gateway"),
        (["--url", "http://no-such-host.invalid:8000"], "host name is not known"),
        (["--url", "http://[::1]:9"], "http://[::1]:9 does not answer"),
        (["--url", "http://127.0.0.1:9", "--token", "to\nken"], "characters that no token has"),
        (["--url", "http://127.0.0.1:9", "--token", "tökén"], "characters that no token has"),
        (["--url", "http://127.0.0.1:9", "--token-file", "nowhere"], "nowhere cannot be read"),
        (["--run", "nowhere"], "no run 'nowhere'"),
    ],
)
@pytest.mark.parametrize("command", ["status", "submit"])
def test_what_cannot_be_reached_is_said_in_one_line_at_once(
    capsys: pytest.CaptureFixture[str], command: str, words: list[str], message: str
) -> None:
    file = ["problems.jsonl"] if command == "submit" else []
    begun = time.monotonic()
    said = refused(capsys, command, *file, *words)
    assert message in said
    assert len(said.splitlines()) == 1
    assert time.monotonic() - begun < AT_ONCE_SECONDS


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "problems.jsonl"],
        ["eval", "problems.jsonl"],
        ["watch"],
        ["status"],
        ["submit", "problems.jsonl", "--dataset", "d"],
    ],
)
def test_nobody_listens_and_no_run_is_live(
    capsys: pytest.CaptureFixture[str], free_port: int, words: list[str]
) -> None:
    begun = time.monotonic()
    url = f"http://127.0.0.1:{free_port}"
    said = refused(capsys, *words, "--url", url)
    assert f"{url} does not answer: nobody listens there" in said
    assert "`vapo up`" in said
    assert time.monotonic() - begun < AT_ONCE_SECONDS


@pytest.mark.parametrize("command", ["submit", "eval"])
def test_a_run_that_has_ended_is_named_with_its_end(
    capsys: pytest.CaptureFixture[str], free_port: int, command: str
) -> None:
    folder = in_folder(load_settings(environment={}), f"http://127.0.0.1:{free_port}")
    with kept(folder):
        note_training(folder, "finished", 3, 3)
    begun = time.monotonic()
    said = refused(capsys, command, "problems.jsonl")
    assert "run runs/mine does not run (trainer finished at step 3 of 3)" in said
    assert "`vapo up` starts it again" in said
    assert time.monotonic() - begun < AT_ONCE_SECONDS


def test_a_wait_for_a_live_run_is_told(capsys: pytest.CaptureFixture[str], free_port: int) -> None:
    """`vapo up` is there, its gateway not yet."""
    folder = in_folder(load_settings(environment={}), f"http://127.0.0.1:{free_port}")
    with kept(folder):
        said = refused(capsys, "status")
    first, last = said.splitlines()[0], said.splitlines()[-1]
    assert "does not answer: nobody listens there; trying for another" in first
    assert "is live, so it may be starting" in last


def test_a_wait_for_room_in_the_queue_is_told(
    make_gateway: Callable[..., RunningGateway],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    running = make_gateway("ledger.task_queue_limit=2")
    rows = [json.dumps({"prompt": f"{number}+1=?", "answer": "2"}) + "\n" for number in range(2)]
    (here / "many.jsonl").write_text("".join(rows))
    assert main(["submit", "many.jsonl", "--url", running.url]) == 0
    capsys.readouterr()
    monkeypatch.setattr("vapo.cli.commands.submit.PATIENCE_SECONDS", 3.0)
    said = refused(capsys, "submit", "problems.jsonl", "--url", running.url)
    assert "ledger.task_queue_limit" in said.splitlines()[0]
    assert "trying for another" in said


class Stranger(http.server.BaseHTTPRequestHandler):
    """A web server that is no gateway."""

    def do_GET(self) -> None:
        place = self.path.removesuffix("/v1/metrics")
        self.send_response({"/moved": 301, "/missing": 404}.get(place, 200))
        if self.path.startswith("/moved"):
            self.send_header("Location", "https://elsewhere.invalid/")
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        bodies = {"/empty": b"", "/null": b"null", "/other": b'{"hello": "you"}'}
        self.wfile.write(bodies.get(place, b"<html>Welcome</html>"))

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "is no gateway of vapo: it answers text/html"),
        ("/missing", "is no gateway of vapo"),
        ("/empty", "is no gateway of vapo"),
        ("/null", "is no gateway of vapo"),
        ("/other", "is a gateway of another version of vapo, or none"),
        ("/moved", "redirects to https://elsewhere.invalid/"),
    ],
)
@pytest.mark.parametrize("command", ["status", "watch", "metrics"])
def test_something_else_answers(capsys: pytest.CaptureFixture[str], command: str, path: str, message: str) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            said = refused(capsys, command, "--url", f"http://127.0.0.1:{server.server_port}{path}")
        finally:
            server.shutdown()
            thread.join()
    assert message in said


@pytest.mark.parametrize("asks_for_tokens", [False, True])
def test_another_run_at_the_address_of_one_that_has_ended_is_not_taken_for_it(
    make_gateway: Callable[..., RunningGateway], capsys: pytest.CaptureFixture[str], asks_for_tokens: bool
) -> None:
    other = make_gateway(*(ASSIGNMENTS if asks_for_tokens else []))
    folder = in_folder(load_settings(environment={}, assignments=["run.name=ended"]), other.url)
    with kept(folder):
        note_training(folder, "finished", 3, 3)
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "run ended: finished" in shown
    assert "trainer finished at step 3 of 3" in shown
    assert main(["watch"]) == 0
    assert "run runs/mine does not run" in refused(capsys, "submit", "problems.jsonl")


def test_the_live_run_is_asked_though_a_newer_one_has_ended(
    guarded: RunningGateway, capsys: pytest.CaptureFixture[str], free_port: int
) -> None:
    newer = in_folder(load_settings(environment={}), f"http://127.0.0.1:{free_port}", "newer")
    with kept(newer):
        pass
    with kept(Path("runs/mine")):
        assert main(["status", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["run"] == guarded.settings.run.name
    assert "run runs/mine (live), one of 2 runs" in shown.err
