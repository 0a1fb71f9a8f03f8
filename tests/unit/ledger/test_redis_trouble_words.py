"""What an error of Redis is said to be, and how often it is said."""

from __future__ import annotations

import copy
import logging

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from vapo.ledger.patience import Patience
from vapo.ledger.trouble import Kind, RunLostError, explain, is_refusal, trouble_of
from vapo.telemetry.quiet_log import REPEAT_SECONDS, QuietLog

ANSWERS = {
    "OOM command not allowed when used memory > 'maxmemory'.": Kind.REFUSES,
    "READONLY You can't write against a read only replica.": Kind.REFUSES,
    "MISCONF Redis is configured to save RDB snapshots, but ...": Kind.REFUSES,
    "MISCONF Errors writing to the AOF file: No space left on device": Kind.REFUSES,
    "NOREPLICAS Not enough good replicas to write.": Kind.REFUSES,
    "MASTERDOWN Link with MASTER is down": Kind.REFUSES,
    "CLUSTERDOWN The cluster is down": Kind.REFUSES,
    "BUSY Redis is busy running a script.": Kind.REFUSES,
    "LOADING Redis is loading the dataset in memory": Kind.LOADING,
    "NOGROUP No such key 'vapo:{r}:stream:tasks' or consumer group 'workers'": Kind.LOST,
    "ERR Error running script (call to f_12): @user_script:9: @user_script: 9: -OOM command not "
    "allowed when used memory > 'maxmemory'.": Kind.REFUSES,
    "NOGROUP No such key script: 12, on @user_script:9.": Kind.LOST,
    "NOPERM this user has no permissions to run the 'info' command": Kind.FAULT,
    "WRONGTYPE Operation against a key holding the wrong kind of value": Kind.FAULT,
    "BUSYGROUP Consumer Group name already exists": Kind.FAULT,
    "WRONGPASS invalid username-password pair": Kind.FAULT,
}
"""What servers of version 6.2 to 8 say, in calls and in scripts."""


def error_of(answer: str) -> exceptions.RedisError:
    """The error that the client makes of an answer."""
    made: exceptions.RedisError = BaseParser.parse_error(answer)
    return made


@pytest.mark.parametrize(("answer", "kind"), ANSWERS.items())
def test_answers_are_told_apart_and_none_is_a_silence(answer: str, kind: Kind) -> None:
    error = error_of(answer)
    assert trouble_of(error).kind is kind
    assert "does not answer" not in explain(error)
    assert is_refusal(error) == (kind is Kind.REFUSES)


@pytest.mark.parametrize("error", [exceptions.ConnectionError("refused"), exceptions.TimeoutError("timed out")])
def test_a_silence_is_a_silence(error: exceptions.RedisError) -> None:
    assert trouble_of(error).kind is Kind.SILENT
    assert explain(error).startswith(f"Redis does not answer: {error}")


def test_the_command_of_a_pipeline_is_left_out() -> None:
    error = exceptions.OutOfMemoryError(
        "Command # 1 (EVALSHA secret payload) of pipeline caused error: command not allowed"
    )
    assert "secret" not in explain(error)
    assert trouble_of(RunLostError("Redis has lost this run: why")).text == ("Redis has lost this run: why")


def tries(patience: Patience, error: Exception) -> int:
    """How often a call that fails is made."""
    made = 0

    def call() -> None:
        nonlocal made
        made += 1
        raise error

    with pytest.raises(type(error)):
        patience.call_with_retry(call, lambda failure: None)
    return made


def test_what_passes_is_waited_for_by_those_who_have_the_patience() -> None:
    silent, full = exceptions.ConnectionError("x"), error_of(next(iter(ANSWERS)))
    fault = exceptions.ResponseError("WRONGTYPE")
    assert tries(Patience(0.0), silent) == 1
    assert tries(Patience(0.3), silent) > 1
    assert tries(Patience(0.3), full) == 1, "a request is answered at once"
    assert tries(Patience(0.0, lambda: 0.3), full) > 1
    assert tries(Patience(0.3, lambda: 0.3), fault) == 1
    assert tries(copy.deepcopy(Patience(0.3)), silent) > 1, "each connection has a copy"


def test_nested_calls_share_one_patience() -> None:
    outer, made = Patience(0.4), 0

    def connecting() -> None:
        nonlocal made
        made += 1
        raise exceptions.ConnectionError("x")

    with pytest.raises(exceptions.ConnectionError):
        outer.call_with_retry(lambda: outer.call_with_retry(connecting, lambda error: None), lambda error: None)
    assert made <= 2 * tries(Patience(0.4), exceptions.ConnectionError("x"))


def test_a_lasting_fault_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = QuietLog(logging.getLogger("quiet"), lambda: now)
    caplog.set_level(logging.INFO)
    for second in range(0, 150):
        now = float(second)
        log.warn("full", "it is full")
    assert len(caplog.records) == 1 + 149 // REPEAT_SECONDS
    assert "it is full (for 120 s)" in caplog.text
    log.warn("lost", "it is lost")
    log.clear("it is well")
    log.clear("it is well")
    assert [record.getMessage() for record in caplog.records[-2:]] == ["it is lost", "it is well"]
