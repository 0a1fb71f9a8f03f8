"""Parameters of OpenAI's API that have no effect here.

Invariant: each is taken at the values at which it would do nothing, because clients send their
defaults, and refused with a reason at any other.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator


def _only(reason: str, *neutral: Any) -> BeforeValidator:
    def check(value: Any) -> None:
        if not any(type(value) is type(one) and value == one for one in neutral):
            shown = " or ".join(json.dumps(one) for one in neutral)
            remedy = f"leave it out or send {shown}" if neutral else "leave it out"
            raise ValueError(f"is not supported: {reason}; {remedy}")

    return BeforeValidator(check)


_NO_TOOLS = "the policy has no tools"
_TEXT_ONLY = "the policy reads and writes text only"

Tools = Annotated[Any, _only(_NO_TOOLS, [])]
ToolChoice = Annotated[Any, _only(_NO_TOOLS, "none", "auto")]
Audio = Annotated[Any, _only(_TEXT_ONLY)]
Modalities = Annotated[Any, _only(_TEXT_ONLY, ["text"])]
ResponseFormat = Annotated[Any, _only("constrained decoding would make another policy of the model", {"type": "text"})]
Suffix = Annotated[Any, _only("the models here complete from left to right", "")]
Store = Annotated[Any, _only("nothing said here is kept", False)]
ReasoningEffort = Annotated[Any, _only("the policy has no levels of effort", "none")]
Verbosity = Annotated[Any, _only("the policy has no levels of verbosity", "medium")]
ServiceTier = Annotated[Any, _only("all requests are served alike", "auto", "default")]
Prediction = Annotated[Any, _only("predicted outputs are not used")]
WebSearch = Annotated[Any, _only("the policy searches nothing")]
Moderation = Annotated[Any, _only("nothing is moderated here")]
KwArgs = Annotated[Any, _only("the chat template is the run's, the same for every request", {})]
Obfuscation = Annotated[Any, _only("a stream is sent as it is", False)]
SkipSpecialTokens = Annotated[Any, _only("text is without special tokens; return_token_ids tells them", True)]
StopStays = Annotated[Any, _only("a stop string is cut off", False)]
TurnBegins = Annotated[Any, _only("the policy answers with a turn of its own", True)]
TurnGoesOn = Annotated[Any, _only("the policy answers with a turn of its own", False)]
BeamSearch = Annotated[Any, _only("the policy samples", False)]
LengthPenalty = Annotated[Any, _only("it belongs to beam search", 1, 1.0)]
BadWords = Annotated[Any, _only("use logit_bias", [])]
ChatEcho = Annotated[Any, _only("only completions echo", False)]
MessageType = Annotated[Any, _only("a message is a message", "message", "text")]
SpacesBetween = Annotated[Any, _only("text is without special tokens", True)]
AddedSpecialTokens = Annotated[Any, _only("a prompt is encoded as it stands; give token ids to add some", False)]
TokensAsIds = Annotated[Any, _only("return_token_ids tells the ids", False)]
Priority = Annotated[Any, _only("all requests are served alike", 0)]
UsageAtTheEnd = Annotated[Any, _only("usage is told at the end of a stream", False)]
Ignored = Annotated[Any, BeforeValidator(lambda value: None)]
"""For the caller's own bookkeeping: taken whatever it is, and without effect."""
