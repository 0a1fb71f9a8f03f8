"""Which device a part computes on. GPUs are pretended: torch is told what it would find."""

from __future__ import annotations

import logging
import os

import pytest
import torch

from vapo.model.devices import DeviceChoice, DeviceError, choose_device


@pytest.fixture
def pretend_gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Two GPUs and a CUDA build; returns what was made current."""
    current: list[torch.device] = []
    monkeypatch.setattr(torch.version, "cuda", "12.9")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Pretended {device.index}")
    return current


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA build on a machine without GPU."""
    monkeypatch.setattr(torch.version, "cuda", "12.9")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("choice", ["auto", "cpu"])
def test_without_a_gpu_the_cpu_is_used_and_the_log_says_why(
    choice: DeviceChoice, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with caplog.at_level(logging.INFO):
        assert choose_device("value.device", choice) == torch.device("cpu")
    why = f": torch {torch.__version__} finds no GPU here (CUDA_VISIBLE_DEVICES='')"
    assert caplog.messages == [f"computing on the CPU (value.device={choice}{why if choice == 'auto' else ''})"]


@pytest.mark.usefixtures("no_gpu")
def test_a_promised_gpu_that_is_missing_is_an_error_with_its_remedy() -> None:
    with pytest.raises(DeviceError, match=r"trainer\.device=cuda, but torch .* finds no GPU") as no:
        choose_device("trainer.device", "cuda")
    assert "deploy/compose.gpu.yml" in str(no.value)
    assert "set trainer.device=cpu" in str(no.value)
    assert no.value.status == os.EX_CONFIG


def test_a_build_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"a build without CUDA; install a CUDA build of torch"):
        choose_device("trainer.device", "cuda")


@pytest.mark.parametrize("choice", ["auto", "cuda"])
def test_a_gpu_is_used_and_named(
    choice: DeviceChoice, pretend_gpus: list[torch.device], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        device = choose_device("trainer.device", choice, 1)
    assert pretend_gpus == [device] == [torch.device("cuda", 1)]
    assert caplog.messages == [f"computing on cuda:1, Pretended 1 (trainer.device={choice})"]


def test_a_gpu_is_left_alone_when_the_cpu_is_asked_for(pretend_gpus: list[torch.device]) -> None:
    assert choose_device("trainer.device", "cpu", 1) == torch.device("cpu")
    assert pretend_gpus == []


@pytest.mark.usefixtures("pretend_gpus")
@pytest.mark.parametrize("choice", ["auto", "cuda"])
def test_more_processes_than_gpus_are_an_error(choice: DeviceChoice) -> None:
    with pytest.raises(DeviceError, match="wants GPU 2 of this host, which has 2, counted from 0"):
        choose_device("trainer.device", choice, 2)
