"""What the trainer serves: ranges by RFC 9110, tokens, and nothing outside the version."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError

from trainer.part import TrainerPart
from trainer.records.status import Requests, Status
from trainer.routes import add_routes
from vapo.ledger.run_watch import RunWatch
from vapo.service import Endpoint, app_of
from vapo.settings import Settings
from vapo.weights import ACTOR, Manifest, version_folder, write_version
from vapo.weights.partial_file import PartialFile
from vapo.weights.source import etag_of

SERVICE_TOKEN = "service-0123456789abcdef"
BYTES = bytes(range(256)) * 40
HEADERS = {"Authorization": f"Bearer {SERVICE_TOKEN}"}


@pytest.fixture
def published(tmp_path: Path) -> Manifest:
    return write_version(tmp_path / "weights", 3, 6, {ACTOR: lambda path: path.write_bytes(BYTES)})


def trainer_app(settings: Settings) -> FastAPI:
    endpoint = Endpoint("trainer", "trainer-1", "http://127.0.0.1:1")
    return app_of(TrainerPart(settings, endpoint, RunWatch(settings), Requests(), Status()), add_routes)


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """The trainer's app over ``tmp_path``."""
    security = {f"{name}_token": f"{name}-0123456789abcdef" for name in ("user", "admin", "service")}
    settings = Settings.model_validate(
        {"run": {"directory": tmp_path}, "security": security, "weights": {"transport": "http"}}
    )
    return TestClient(trainer_app(settings), headers=HEADERS)


def test_whole_file_and_manifest(client: TestClient, published: Manifest) -> None:
    whole = client.get(f"/v1/weights/3/{ACTOR}")
    assert (whole.status_code, whole.content) == (200, BYTES)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["etag"] == etag_of(published.files[ACTOR])
    assert Manifest.parse(client.get("/v1/weights/3/manifest.json").text) == published
    assert f"vapo_weights_bytes_served {len(BYTES)}.0" in client.get("/metrics").text


def test_ranges_are_answered_by_the_rules(client: TestClient, published: Manifest) -> None:
    url, size = f"/v1/weights/3/{ACTOR}", len(BYTES)
    for asked, start, end in (("0-9", 0, 10), ("100-", 100, size), ("-5", size - 5, size), (f"9-{10 * size}", 9, size)):
        answer = client.get(url, headers={"Range": f"bytes={asked}"})
        assert (answer.status_code, answer.content) == (206, BYTES[start:end])
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = client.get(url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    same = {"Range": "bytes=0-9", "If-Range": etag_of(published.files[ACTOR])}
    assert client.get(url, headers=same).status_code == 206
    assert client.get(url, headers=same | {"If-Range": '"another"'}).status_code == 200


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    "path",
    [
        "3/../../settings.json",
        "3/..%2f..%2fsettings.json",
        "3/%2e%2e/secret",
        "3/critic.safetensors",
        "4/actor.safetensors",
        "4/manifest.json",
        "..%2f/manifest.json",
        "-1/manifest.json",
        "3/.locks",
        "3/%00",
        "00000003%2f..%2f3/manifest.json",
    ],
)
def test_nothing_else_is_served(client: TestClient, tmp_path: Path, path: str) -> None:
    (tmp_path / "settings.json").write_text("private words")
    (tmp_path / "weights" / "secret").write_text("private words")
    answer = client.get(f"/v1/weights/{path}")
    assert answer.status_code in (404, 422)
    assert "private words" not in answer.text


@pytest.mark.usefixtures("published")
def test_only_the_service_token_opens_them(client: TestClient) -> None:
    for token in ("user-0123456789abcdef", "wrong-0123456789abcdef", ""):
        answer = client.get(f"/v1/weights/3/{ACTOR}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


@pytest.mark.usefixtures("published")
def test_a_version_that_goes_is_a_clear_404(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it goes between the look at the file and the read."""
    url, folder = f"/v1/weights/3/{ACTOR}", version_folder(tmp_path / "weights", 3)
    look = Path.stat

    def look_and_lose(path: Path, **options: bool) -> object:
        seen = look(path, **options)
        if path.name == ACTOR:
            path.unlink()
        return seen

    monkeypatch.setattr(Path, "stat", look_and_lose)
    late = client.get(url, headers={"Range": "bytes=0-9"})
    monkeypatch.undo()
    assert (late.status_code, "newest" in late.text) == (404, True)
    shutil.rmtree(folder)
    assert "newest" in client.get(url).json()["detail"]


def test_without_the_http_transport_no_weights_are_served(tmp_path: Path) -> None:
    settings = Settings.model_validate({"run": {"directory": tmp_path}})
    client = TestClient(trainer_app(settings))
    assert client.get("/v1/weights/3/manifest.json").status_code == 404


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"source_url": "http://trainer:8004"}, "no effect with weights.transport=file"),
        ({"fetch_limit_bytes_per_second": 100_000}, "weights.transport=http"),
        ({"transport": "http", "relay_url": "http://a:1", "source_url": "http://a:1/"}, "differ"),
        ({"transport": "http", "source_url": "ftp://a:1"}, "source_url"),
        ({"transport": "http", "cache_directory": "runs/default/weights"}, "folder of its own"),
        ({"transport": "carrier-pigeon"}, "transport"),
    ],
)
def test_settings_that_contradict_are_refused(weights: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings.model_validate({"weights": weights})


def test_a_partial_file_remembers_what_arrived(tmp_path: Path, published: Manifest) -> None:
    final, entry = tmp_path / ACTOR, published.files[ACTOR]
    first = PartialFile(final, entry)
    with first.writing(0) as write:
        write(BYTES[:1000])
    with contextlib.suppress(OSError), first.writing(5000) as write:
        write(BYTES[5000:5500])
        raise OSError("cut")
    with (tmp_path / f"{ACTOR}.arrived").open("a") as record:
        record.write("7000 99")  # a crash in the middle of a line
    again = PartialFile(final, entry)
    assert again.missing() == [(1000, 5000), (5500, len(BYTES))]
    for start, end in again.missing():
        with again.writing(start) as write:
            write(BYTES[start:end])
    assert again.complete()
    assert final.read_bytes() == BYTES
    assert [path.name for path in tmp_path.glob(f"{ACTOR}*")] == [ACTOR]


def test_what_arrived_of_another_file_is_not_used(tmp_path: Path, published: Manifest) -> None:
    other = write_version(tmp_path / "w", 1, 1, {ACTOR: lambda path: path.write_bytes(BYTES[::-1])})
    with PartialFile(tmp_path / ACTOR, other.files[ACTOR]).writing(0) as write:
        write(BYTES[::-1])
    renewed = PartialFile(tmp_path / ACTOR, published.files[ACTOR])
    assert renewed.missing() == [(0, len(BYTES))]
    assert not renewed.complete()
