"""Parts work with nothing but the packages of their image: what else is installed is hidden."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 240
HIDE = """
import importlib.machinery, importlib.metadata, re, sys
listed = {line.partition("==")[0] for line in open(sys.argv[1], encoding="utf-8")}
normal = lambda name: re.sub("[-_.]+", "-", name).lower()
kept = {normal(name) for name in listed} | {"vapo"}
hidden = {name for name, packages in importlib.metadata.packages_distributions().items()
          if not kept & {normal(package) for package in packages}}
find_spec = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda _, name, *more: None if name.partition(".")[0] in hidden else find_spec(name, *more))

def import_all(package):
    import importlib, pkgutil
    package = importlib.import_module(package)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""
PROGRAMS = {
    # The image of the gateway also makes the settings (vapo.cli init) and feeds the demo's prompts.
    "gateway": """
import_all("services.gateway")
import arro3.io, vapo.cli, vapo.local.container_files, vapo.demo.feed
from pathlib import Path
from vapo.model.text.tokenizer import load_tokenizer
tokenizer = load_tokenizer(Path("vapo/assets/chain-base"))
ids = tokenizer.encode_prompt("1+1=?")
assert "1+1=?" in tokenizer.decode(ids)
""",
    "verifier": """
import_all("services.verifier")
from services.verifier.judgement.math_answer import judge
outcome = lambda answer, reference: judge(f"so \\\\boxed{{{answer}}}", reference).outcome.value
assert outcome("x + x", "2x") == "correct"
assert outcome(r"\\frac{1}{\\sqrt{2}}", r"\\frac{\\sqrt{2}}{2}") == "correct"
assert outcome(r"\\sin(x)", r"\\cos(x)") == "wrong"
""",
    "value": """
import_all("services.value")
from pathlib import Path
from vapo.model.critic import load_critic
load_critic(Path("vapo/assets/chain-base"))
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("part", PROGRAMS)
def test_a_part_works_with_the_packages_of_its_image(part: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(HIDE + PROGRAMS[part], encoding="utf-8")
    packages = ROOT / f"deploy/images/requirements/{part}.txt"
    done = subprocess.run(
        [sys.executable, str(script), str(packages)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
