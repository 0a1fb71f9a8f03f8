"""The common service shell: health, tokens, body limits, problem documents."""

from __future__ import annotations

import threading

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel

from vapo.service import ADMIN, USER, bind, bound_url, create_app, parse_arguments, require
from vapo.service.problem_details import Problem
from vapo.settings import Settings, SettingsError, load_settings

USER_TOKEN, ADMIN_TOKEN, SERVICE_TOKEN = (f"{name}-0123456789abcdef" for name in ("u", "a", "s"))


MORE_THAN_THE_POOL = 45
DEADLINE_SECONDS = 20


class Form(BaseModel):
    """A body that FastAPI reads itself."""

    text: str


def _app(settings: Settings, reason: str | None = None) -> FastAPI:
    app = create_app("part", settings, lambda: reason, body_limit=1000)

    @app.post("/echo", dependencies=[require(USER)])
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.post("/danger", dependencies=[require(ADMIN)])
    def danger() -> str:
        raise RuntimeError("secret detail")

    @app.post("/form")
    def form(body: Form) -> int:
        return len(body.text)

    @app.get("/teapot")
    def teapot() -> str:
        raise Problem(418, "short and stout", {"Retry-After": "7"}, index=3)

    return app


@pytest.fixture
def open_client() -> TestClient:
    return TestClient(_app(load_settings(environment={})), raise_server_exceptions=False)


@pytest.fixture
def guarded_client() -> TestClient:
    assignments = [
        f"security.user_token={USER_TOKEN}",
        f"security.admin_token={ADMIN_TOKEN}",
        f"security.service_token={SERVICE_TOKEN}",
    ]
    return TestClient(_app(load_settings(assignments=assignments, environment={})), raise_server_exceptions=False)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_health_and_metrics(open_client: TestClient) -> None:
    assert open_client.get("/healthz").json()["status"] == "ok"
    assert open_client.get("/readyz").json() == {"status": "ready"}
    assert "process_resident_memory_bytes" in open_client.get("/metrics").text
    assert open_client.get("/openapi.json").json()["info"]["title"] == "vapo part"


def test_not_ready_names_the_reason() -> None:
    answer = TestClient(_app(load_settings(environment={}), "loading weights")).get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "loading weights"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/echo", None, 401),
        ("/echo", "nonsense", 401),
        ("/echo", USER_TOKEN, 200),
        ("/echo", ADMIN_TOKEN, 200),
        ("/danger", USER_TOKEN, 401),
        ("/danger", SERVICE_TOKEN, 401),
        ("/danger", ADMIN_TOKEN, 500),
    ],
)
def test_scopes(guarded_client: TestClient, path: str, token: str | None, status: int) -> None:
    headers = _bearer(token) if token else {}
    assert guarded_client.post(path, content=b"x", headers=headers).status_code == status


def test_health_needs_no_token_but_metrics_do(guarded_client: TestClient) -> None:
    assert guarded_client.get("/healthz").status_code == 200
    assert guarded_client.get("/metrics").status_code == 401


def test_an_unexpected_error_shows_no_detail(open_client: TestClient) -> None:
    answer = open_client.post("/danger")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.json()["title"] == "Internal Server Error"


def test_a_problem_carries_its_extras(open_client: TestClient) -> None:
    answer = open_client.get("/teapot")
    assert (answer.status_code, answer.json()["index"]) == (418, 3)
    assert answer.headers["retry-after"] == "7"


def test_large_bodies_are_refused_declared_or_streamed(open_client: TestClient) -> None:
    assert open_client.post("/echo", content=b"x" * 1000).json() == 1000
    declared = open_client.post("/echo", content=b"x" * 1001)
    streamed = open_client.post("/echo", content=(b"x" * 400 for _ in range(3)))
    assert (declared.status_code, streamed.status_code) == (413, 413)
    assert "1000 bytes" in declared.json()["detail"]
    assert streamed.headers["content-type"] == "application/problem+json"


def test_a_large_body_is_refused_also_where_the_framework_reads_it(open_client: TestClient) -> None:
    streamed = open_client.post(
        "/form", content=(b" " * 400 for _ in range(3)), headers={"Content-Type": "application/json"}
    )
    assert streamed.status_code == 413
    assert "1000 bytes" in streamed.json()["detail"]


def test_a_part_whose_threads_all_wait_is_still_alive() -> None:
    app = _app(load_settings(environment={}))
    begun, over = threading.Semaphore(0), threading.Event()

    @app.get("/wait")
    def wait() -> None:
        begun.release()
        over.wait(DEADLINE_SECONDS)

    statuses: list[int] = []
    with TestClient(app) as client:
        waiting = [threading.Thread(target=client.get, args=["/wait"]) for _ in range(MORE_THAN_THE_POOL)]
        asking = threading.Thread(target=lambda: statuses.append(client.get("/healthz").status_code))
        for thread in waiting:
            thread.start()
        for _ in range(40):
            assert begun.acquire(timeout=DEADLINE_SECONDS)
        asking.start()
        asking.join(DEADLINE_SECONDS / 2)
        told = list(statuses)
        over.set()
        for thread in (*waiting, asking):
            thread.join(DEADLINE_SECONDS)
    assert told == [200]


def test_the_openapi_page_tells_of_problems_and_tokens(open_client: TestClient) -> None:
    schema = open_client.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for path, operation in (("/form", "post"), ("/echo", "post"), ("/healthz", "get")):
        responses = schema["paths"][path][operation]["responses"]
        assert list(responses["default"]["content"]) == ["application/problem+json"]
        assert "422" not in responses, "the framework's own form of errors, which is never sent"
    assert schema["paths"]["/echo"]["post"]["security"] == [{"HTTPBearer": []}]


def test_refused_settings_name_the_remedy() -> None:
    with pytest.raises(SettingsError, match=r"'verifier\.prot'; did you mean 'verifier\.port'"):
        parse_arguments("services.verifier", ["--set", "verifier.prot=1"])


@pytest.mark.parametrize(
    ("advertised", "host"),
    [(None, "127.0.0.1"), ("10.1.2.3", "10.1.2.3"), ("fd00::7", "[fd00::7]"), ("a.svc", "a.svc")],
)
def test_the_announced_url_names_the_advertised_host(advertised: str | None, host: str) -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert bound_url(listener, advertised) == f"http://{host}:{port}"
