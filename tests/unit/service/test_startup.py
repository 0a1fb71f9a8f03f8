"""Which errors are told in one line, and what a model's folder must hold."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from vapo.model.folder.contents import INDEX, ModelFolderError, check_model_folder
from vapo.startup import StartupError, UnavailableError, check_writable, exit_status_of

MODEL = Path(__file__).parents[3] / "vapo" / "assets" / "chain-base"


def raising(error: Exception) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "status"), [(StartupError("a\n  b"), os.EX_CONFIG), (UnavailableError("a b"), os.EX_UNAVAILABLE)]
)
def test_an_expected_error_is_one_line(capsys: pytest.CaptureFixture[str], error: StartupError, status: int) -> None:
    assert exit_status_of("part", lambda: raising(error)) == status
    assert capsys.readouterr().err == "part: a b\n"


@pytest.mark.parametrize("error", [OSError("disk"), ValueError("fault"), RuntimeError("fault")])
def test_an_unexpected_error_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)):
        exit_status_of("part", lambda: raising(error))


def test_a_status_is_passed_on() -> None:
    assert exit_status_of("part", lambda: 143) == 143


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path: Path) -> None:
    check_writable("run.directory", tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


def refusal(model: Path) -> str:
    with pytest.raises(ModelFolderError) as refused:
        check_model_folder(model, "--model")
    return str(refused.value)


def weights_of(model: Path) -> Path:
    (file,) = model.glob("*.safetensors")
    return file


def test_the_shipped_model_is_one() -> None:
    check_model_folder(MODEL)


def test_a_folder_without_configuration(model: Path) -> None:
    (model / "config.json").unlink()
    assert refusal(model).startswith(f"--model={model} has no config.json")


@pytest.mark.parametrize(("text", "said"), [("{", "cannot be read"), ("[]", "no model_type")])
def test_a_configuration_that_is_none(model: Path, text: str, said: str) -> None:
    (model / "config.json").write_text(text)
    assert said in refusal(model)


def test_weights_that_are_cut_short(model: Path) -> None:
    file = weights_of(model)
    with file.open("r+b") as weights:
        weights.truncate(file.stat().st_size - 1)
    assert refusal(model).startswith(f"{file} is no safetensors file")


def test_a_pointer_in_the_place_of_weights(model: Path) -> None:
    weights_of(model).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git-lfs" in refusal(model)


def test_a_shard_that_is_missing(model: Path) -> None:
    shards = {"a": weights_of(model).name, "b": "model-00002-of-00002.safetensors"}
    (model / INDEX).write_text(json.dumps({"weight_map": shards}))
    assert refusal(model).startswith(f"{model / shards['b']} is named in {INDEX} and not there")
