"""What a verifier is, and what it says about one response.

Invariants:
- a judgement says what was found and whose fault a failure is; what it is worth is decided
  elsewhere (:mod:`services.verifier.reward`);
- its texts are short and can be encoded as UTF-8, whatever the response held.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

SHOWN_CHARACTERS = 500
"""How much of an answer or a reason a judgement carries."""


class Outcome(StrEnum):
    """The verdicts; the names are those of ``vapo.messages.VerdictName``."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    TIMEOUT = "timeout"
    ERROR = "error"


class Fault(StrEnum):
    """Whose fault it is that no judgement was reached."""

    NONE = ""
    RESPONSE = "response"
    """The model wrote something that cannot be judged within the limits."""
    REFERENCE = "reference"
    """The task's reference answer cannot be understood: no response may be punished for it."""
    VERIFIER = "verifier"
    """The judgement itself broke: counted, and no response may be punished for it."""


class ReferenceFault(ValueError):
    """The reference answer cannot be judged against; the text says why."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One verdict, its reason for people, and the answer that was read out of the response."""

    outcome: Outcome
    reason: str
    extracted: str | None = None
    fault: Fault = Fault.NONE

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", _showable(self.reason))
        if self.extracted is not None:
            object.__setattr__(self, "extracted", _showable(self.extracted))

    def as_dict(self) -> dict[str, str | None]:
        """JSON-ready form; the inverse is ``Judgement.from_dict``."""
        return {
            "outcome": str(self.outcome),
            "reason": self.reason,
            "extracted": self.extracted,
            "fault": str(self.fault),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, str | None]) -> Judgement:
        """Inverse of :meth:`as_dict`. Raises KeyError or ValueError when malformed."""
        return cls(
            outcome=Outcome(str(fields["outcome"])),
            reason=str(fields["reason"]),
            extracted=fields["extracted"],
            fault=Fault(fields["fault"] or ""),
        )


class Verifier(Protocol):
    """Judges one response against its reference."""

    def judge_cheaply(self, response: str, reference: str) -> Judgement | None:
        """The judgement if it can be had in bounded time, else None. Runs in the service
        process.
        """

    def check_reference(self, reference: str) -> None:
        """Work on the reference alone; a hang or crash in it is the task's fault.

        Raises:
            ReferenceFault: the reference cannot be judged against.
        """

    def judge(self, response: str, reference: str) -> Judgement:
        """The judgement. Runs in a worker process with a time and a memory limit."""


def _showable(text: str) -> str:
    return text[:SHOWN_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def reference_fault(reason: str) -> Judgement:
    """The reference cannot be judged against, whatever the response says."""
    return Judgement(Outcome.ERROR, reason, fault=Fault.REFERENCE)
