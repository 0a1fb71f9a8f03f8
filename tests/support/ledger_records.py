"""Small, valid records for tests of the ledger and the gateway."""

from __future__ import annotations

import uuid

from redis import Redis

from vapo.ledger import Ledger
from vapo.messages import Generated, Task, Values, Verdict, VersionSpan, float_array, token_array
from vapo.settings import RedisSettings, Settings, load_settings


def settings_for(redis: RedisSettings, *assignments: str) -> Settings:
    """Settings of a run no other test uses, with small limits."""
    base = {
        "run": {"name": f"test-{uuid.uuid4().hex[:12]}"},
        "redis": redis.model_dump(),
        "sampling": {"samples_per_prompt": 2, "max_new_tokens": 64},
        "trainer": {"prompts_per_step": 4, "mini_batch_rollouts": 4},
    }
    return load_settings(None, assignments, {}, base)


def close(ledger: Ledger) -> None:
    """Let go of the connections."""
    redis: Redis = ledger.redis
    redis.close()


def task(task_id: str, samples: int = 2, **fields: object) -> Task:
    """A training task."""
    return Task(
        id=task_id, prompt_token_ids=token_array([5, 6, 7]), prompt="1+1=?", answer="2", samples=samples, **fields
    )  # type: ignore[arg-type]


def generated(length: int = 3, version: int = 0, text: str = "\\boxed{2}") -> Generated:
    """A response of ``length`` tokens, all under one weight version."""
    return Generated(
        token_ids=token_array(range(1, length + 1)),
        behaviour_log_probs=float_array([-0.5] * length),
        version_spans=(VersionSpan(version, 0, length),),
        finish_reason="stop",
        text=text,
        generator="test",
    )


def values(length: int = 3, critic_version: int = 0) -> Values:
    """Values of a response of ``length`` tokens."""
    return Values(values=float_array([0.25] * (length + 1)), critic_version=critic_version)


CORRECT = Verdict("correct", 1.0, "2", "equal")
WRONG = Verdict("wrong", -1.0, "3", "differs")
NOT_JUDGED = Verdict("error", None, None, "the reference answer cannot be read")
