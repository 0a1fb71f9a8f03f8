"""`vapo export` writes what transformers loads, from what a run left on disk, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.trainer_cases import tiny_folder
from vapo.cli import main
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.run_folders.start_history import note_start
from vapo.settings import Settings
from vapo.weights import ACTOR, FileEntry, sha256_of, write_version

BASE = Path("vapo/assets/chain-base").resolve()


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run that published versions 1 and 2 (steps 3 and 4) and holds a checkpoint of step 4."""
    directory = tmp_path / "run"
    settings = Settings.model_validate({"run": {"directory": directory}, "model": {"path": BASE}})
    RunFolder(directory).write_settings(settings)
    for version, step in ((1, 3), (2, 4)):
        write_version(
            settings.run.weights_directory,
            version,
            step,
            {ACTOR: lambda path, version=version: save_file(moved(version), path)},
        )
    write_checkpoint(settings.run.checkpoints_directory / "00000004", 4)
    return directory


def moved(by: float) -> dict[str, torch.Tensor]:
    """The base weights, shifted a little so that each set is different."""
    weights = load_file(BASE / "model.safetensors")
    return {name: tensor + by / 1000 for name, tensor in weights.items()}


def write_checkpoint(folder: Path, step: int) -> None:
    folder.mkdir(parents=True)
    save_file(moved(9), folder / ACTOR)
    entry = FileEntry(sha256_of(folder / ACTOR), 0)
    manifest = {"position": {"step": step}, "files": {ACTOR: {"sha256": entry.sha256}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def first_weight(folder: Path) -> float:
    """How far the exported weights are from the base ones, in thousandths."""
    name, base = next(iter(load_file(BASE / "model.safetensors").items()))
    difference = load_file(folder / "model.safetensors")[name] - base
    return round(float(difference.mean()) * 1000, 3)


@pytest.mark.parametrize(
    ("choice", "shift"), [([], 9), (["--version", "1"], 1), (["--version", "2"], 2), (["--step", "4"], 9)]
)
def test_the_weights_asked_for_are_exported(run_folder: Path, tmp_path: Path, choice: list[str], shift: float) -> None:
    assert main(["export", "--run", str(run_folder), "--output", str(tmp_path / "out"), *choice]) == 0
    assert first_weight(tmp_path / "out") == shift


def test_a_newer_weight_version_wins_over_an_older_checkpoint(run_folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(run_folder / "checkpoints")
    write_checkpoint(run_folder / "checkpoints" / "00000001", 1)
    (run_folder / "checkpoints" / "00000007").mkdir()
    assert main(["export", "--run", str(run_folder), "--output", str(tmp_path / "out")]) == 0
    assert first_weight(tmp_path / "out") == 2


def test_transformers_loads_it_and_computes_what_the_weights_say(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["export", "--run", str(run_folder), "--output", str(out)]) == 0
    model = AutoModelForCausalLM.from_pretrained(out)
    reference = AutoModelForCausalLM.from_pretrained(BASE)
    reference.load_state_dict(moved(9))
    tokens = AutoTokenizer.from_pretrained(out)("12+34=?", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert torch.equal(model(tokens).logits, reference(tokens).logits)
    assert json.loads((out / "config.json").read_text())["dtype"] == "float32"
    assert (out / "chat_template.jinja").exists()


def other_model(folder: Path, form: str = "qwen3") -> Path:
    """A model of other sizes, with the tokenizer of the run's own."""
    tiny_folder(folder, form)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(BASE / file, folder / file)
    return folder


def refusal(run: Path, out: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["export", "--run", str(run), "--output", str(out), *words]) == 1
    assert not out.exists()
    return capsys.readouterr().err


@pytest.mark.parametrize("form", ["qwen2", "qwen3", "llama"])
def test_weights_that_do_not_fit_the_configuration_are_refused(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    other = other_model(tmp_path / "other", form)
    said = refusal(run_folder, tmp_path / "out", capsys, "--model", str(other))
    assert f"the weights of checkpoint 00000004 are not of the model in {other}; name" in said
    settings = Settings.model_validate({"run": {"directory": run_folder}, "model": {"path": other}})
    RunFolder(run_folder).write_settings(settings)
    assert "are not of the model in" in refusal(run_folder, tmp_path / "out", capsys)


def test_weights_that_lack_a_tensor_are_refused(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = moved(3)
    del weights["lm_head.weight"]
    write_version(run_folder / "weights", 3, 8, {ACTOR: lambda path: save_file(weights, path)})
    assert "lacks 1 of the 36 tensors" in refusal(run_folder, tmp_path / "out", capsys)


def test_the_model_a_checkpoint_records_counts(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run_folder / "checkpoints" / "00000004" / "manifest.json"
    manifest = {**json.loads(file.read_text()), "settings": {"model": {"path": str(BASE)}}}
    file.write_text(json.dumps(manifest))
    other = other_model(tmp_path / "other")
    settings = Settings.model_validate({"run": {"directory": run_folder}, "model": {"path": other}})
    RunFolder(run_folder).write_settings(settings)
    assert main(["export", "--run", str(run_folder), "--output", str(tmp_path / "out")]) == 0
    assert first_weight(tmp_path / "out") == 9
    twin = tmp_path / "twin"
    shutil.copytree(BASE, twin)
    text = (twin / "tokenizer.json").read_text()
    (twin / "tokenizer.json").write_text(text.replace('"+"', '"±"'))
    said = refusal(run_folder, tmp_path / "out2", capsys, "--model", str(twin))
    assert f"{twin} has another tokenizer than {BASE}, the model that checkpoint 00000004" in said


def test_a_tokenizer_that_cannot_be_read_is_refused(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(BASE, tmp_path / "base")
    (tmp_path / "base" / "tokenizer.json").write_text("{}")
    said = refusal(run_folder, tmp_path / "out", capsys, "--model", str(tmp_path / "base"))
    assert "tokenizer.json is malformed" in said


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_type_asked_for(run_folder: Path, tmp_path: Path, dtype: str) -> None:
    out = tmp_path / "out"
    words = ["export", "--run", str(run_folder), "--output", str(out), "--dtype", dtype]
    assert main(words) == 0
    wanted = getattr(torch, dtype)
    written = load_file(out / "model.safetensors")
    for name, tensor in moved(9).items():
        assert torch.equal(written[name], tensor.to(wanted))
    assert AutoModelForCausalLM.from_pretrained(out, dtype="auto").dtype == wanted


@pytest.mark.parametrize(("key", "stated"), [("dtype", "bfloat16"), ("torch_dtype", "float16")])
def test_the_type_of_the_base_model_is_the_default(run_folder: Path, tmp_path: Path, key: str, stated: str) -> None:
    base = tmp_path / "base"
    shutil.copytree(BASE, base)
    config = json.loads((base / "config.json").read_text())
    del config["dtype"]
    (base / "config.json").write_text(json.dumps({**config, key: stated}))
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "rag.jinja").write_text("rag")
    out = tmp_path / "out"
    words = ["export", "--run", str(run_folder), "--output", str(out), "--model", str(base)]
    assert main(words) == 0
    assert AutoModelForCausalLM.from_pretrained(out, dtype="auto").dtype == getattr(torch, stated)
    assert set(AutoTokenizer.from_pretrained(out).chat_template) == {"default", "rag"}


def test_bfloat16_weights_are_declared_as_such(run_folder: Path, tmp_path: Path) -> None:
    halves = {name: tensor.bfloat16() for name, tensor in moved(3).items()}
    write_version(run_folder / "weights", 3, 8, {ACTOR: lambda path: save_file(halves, path)})
    assert main(["export", "--run", str(run_folder), "--output", str(tmp_path / "out")]) == 0
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").dtype == torch.bfloat16


def test_what_cannot_be_exported_is_said(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")

    def refused(*words: str) -> str:
        assert main(["export", "--output", out, *words]) == 1
        assert not Path(out).exists()
        return capsys.readouterr().err

    here = ["--run", str(run_folder)]
    assert "no weight version can be read" in refused(*here, "--version", "9")
    assert "name the folder it lies in now with --model" in refused(*here, "--model", "nowhere")
    assert "holds no run" in refused("--run", str(tmp_path / "none"))
    with (run_folder / "checkpoints" / "00000004" / ACTOR).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    assert "does not match its manifest" in refused(*here)
    shutil.rmtree(run_folder / "checkpoints")
    shutil.rmtree(run_folder / "weights")
    assert "no checkpoint and no weight version yet" in refused(*here)
    Path(out).mkdir()
    assert main(["export", "--output", out, *here]) == 1


def test_it_needs_no_torch(run_folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from vapo.cli import main\n"
        f"words = ['--run', {str(run_folder)!r}, '--output', {str(tmp_path / 'o')!r}]\n"
        "status = main(['export', *words])\n"
        "assert status == 0 and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_another_model_of_the_same_sizes_is_refused(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = RunFolder(run_folder).read_settings()
    note_start(run_folder, settings, None, {})
    twin = tmp_path / "twin"
    shutil.copytree(BASE, twin)
    said = refusal(run_folder, tmp_path / "copy", capsys, "--version", "9", "--model", str(twin))
    assert "no weight version can be read" in said, "a copy is the same model"
    save_file(moved(1000), twin / "model.safetensors")
    said = refusal(run_folder, tmp_path / "out", capsys, "--version", "2", "--model", str(twin))
    assert f"was begun with the model in {BASE}, and model.path={twin} has other weights" in said
