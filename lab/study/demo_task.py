r"""The demo's task in the study: chain arithmetic with the shipped base model.

Problems, splits and base model are those of ``vapo demo``. The verdict is of the last
``\boxed{...}``, as integers; for what this model writes it is the verifier service's (a test
compares them), without its processes.

Invariant: a seed's problems come in the order of the demo's training set of that seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers import Qwen3ForCausalLM

import vapo
from lab.base_model.boxed_integer import boxed_integer
from vapo.demo.chain import chain, problem_sets
from vapo.demo.chain.splits import Split

ASSETS = Path(vapo.__file__).parent / "assets"


@dataclass(frozen=True)
class DemoTask:
    """Chain arithmetic and the checkpoint it starts from."""

    base: str = "chain-base"
    """Folder under ``vapo/assets``."""
    terms: tuple[int, ...] = problem_sets.DEMO_TERMS
    """Grades; they take turns."""

    @property
    def words(self) -> str:
        """For people who read the results."""
        return f"the demo's chain arithmetic of {'/'.join(map(str, self.terms))} terms"

    def prompts(self, split: Split, seed: int) -> Iterator[str]:
        """Distinct prompts of ``split`` without end; the same for the same seed."""
        return (problem.prompt for problem in problem_sets.problem_stream(split, seed, self.terms))

    def is_correct(self, prompt: str, response: str) -> bool:
        """Whether the response's boxed integer is the chain's value."""
        return boxed_integer(response) == chain.parse_problem(prompt).answer

    def load_base(self) -> Qwen3ForCausalLM:
        """The shipped checkpoint in float32."""
        model = Qwen3ForCausalLM.from_pretrained(ASSETS / self.base, local_files_only=True)
        return model.float()
