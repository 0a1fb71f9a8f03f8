"""Prompts posted from outside, steadily, while containers come and go."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from tests.compose.composed import Platform

PROMPTS_PER_POST = 4
PAUSE_SECONDS = 2.0


def problem(number: int) -> dict[str, Any]:
    """A problem of the demo's kind; the same number gives the same one."""
    numbers = random.Random(number)
    first, second = numbers.randint(10, 99), numbers.randint(10, 99)
    return {"id": f"outside-{number}", "prompt": f"{first}+{second}=?", "answer": str(first + second)}


class Load:
    """A thread that posts prompts until it is stopped. A post that failed is sent again: ids make
    it count once.
    """

    def __init__(self, platform: Platform, first: int) -> None:
        self._platform, self.next = platform, first
        self.failures = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="load")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        while not self._stopping.is_set():
            rows = [problem(self.next + one) for one in range(PROMPTS_PER_POST)]
            try:
                self._platform.post("/v1/prompts", {"prompts": rows})
                self.next += PROMPTS_PER_POST
            except OSError:
                self.failures += 1
            self._stopping.wait(PAUSE_SECONDS)


class Clock:
    """Prints what happens with the time since the start, and keeps the lines for the summary."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.lines: list[str] = []

    def say(self, text: str, summary: bool = True) -> None:
        """One line."""
        elapsed = time.monotonic() - self._started
        line = f"[{elapsed // 60:3.0f}:{elapsed % 60:02.0f}] {text}"
        print(line, flush=True)
        if summary:
            self.lines.append(line)
