"""Which line of a log says why its process ended."""

from __future__ import annotations

import pytest

from vapo.local.supervision.log_reason import LONGEST, reason
from vapo.local.supervision.restarts import of_one_cause

VLLM = """\
(EngineCore pid=71) ERROR 11-29 10:00:01 [core.py:1100] EngineCore failed to start.
(EngineCore pid=71) ERROR 11-29 10:00:01 [core.py:1100] Traceback (most recent call last):
(EngineCore pid=71) ERROR 11-29 10:00:01 [core.py:1100]   File "/x/core.py", line 9, in run
(EngineCore pid=71) ERROR 11-29 10:00:01 [core.py:1100]     raise ValueError(
(EngineCore pid=71) ERROR 11-29 10:00:01 [core.py:1100] ValueError: no room for the cache
(EngineCore pid=71) Process EngineCore:
Traceback (most recent call last):
  File "/x/__main__.py", line 60, in <module>
    status = main()
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
PYDANTIC = """\
Traceback (most recent call last):
  File "/x/engine.py", line 123, in start
    config = arguments.create_engine_config()
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (100000) is greater than the derived max_model_len
    For further information visit the page
"""
TORCHRUN = """\
trainer: model.path=/m has no weights (*.safetensors); copy them there
E1129 10:00:00.000 torch/distributed/elastic/multiprocessing/api.py:984] failed (exitcode: 78)
Traceback (most recent call last):
  File "/x/run.py", line 3, in <module>
    main()
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
trainer FAILED
------------------------------------------------------------
  traceback : To enable traceback see: the page
============================================================
"""
CHAINED = """\
Traceback (most recent call last):
  File "a.py", line 1, in <module>
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
ValueError: no step named 'a'
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (VLLM, "ValueError: no room for the cache"),
        (PYDANTIC, "is greater than the derived max_model_len"),
        (TORCHRUN, "trainer: model.path=/m has no weights (*.safetensors); copy them there"),
        (CHAINED, "ValueError: no step named 'a'"),
        ('a\nTraceback (most recent call last):\n  File "a"\nKeyboardInterrupt\n', "KeyboardInterrupt"),
        ("2026-11-29 10:00:00,1 ERROR   trainer: MismatchError: 0.1 nats\nbye\n", "trainer: MismatchError: 0.1 nats"),
        ("\x1b[31mloading\x1b[0m\nno such model folder\n\n", "no such model folder"),
        ("", ""),
    ],
)
def test_the_reason(log: str, said: str) -> None:
    assert said in reason(log.splitlines())
    assert reason(log.splitlines()).count("\n") == 0


def test_the_details_of_an_exception_belong_to_it_and_a_line_keeps_its_length() -> None:
    assert reason(PYDANTIC.splitlines()).endswith("the derived max_model_len")
    assert len(reason(["x" * 10_000])) == LONGEST


@pytest.mark.parametrize(
    ("causes", "count"),
    [([], 0), (["a"], 1), (["a", ""], 0), (["", "a 1", "a 22"], 2), (["b", "a", "b"], 1), (["a", "a", "a"], 3)],
)
def test_deaths_of_one_cause(causes: list[str], count: int) -> None:
    assert of_one_cause(causes) == count
