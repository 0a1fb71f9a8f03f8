"""Where a part computes: a GPU that was promised is there, or the part does not start.

Invariant: which device is used, and why, is one line of the part's log.
"""

from __future__ import annotations

import logging
import os
from typing import Literal

import torch

from vapo.startup import StartupError

logger = logging.getLogger(__name__)

DeviceChoice = Literal["auto", "cpu", "cuda"]


class DeviceError(StartupError):
    """The device that the settings promise is not there; the text says what torch finds."""


def choose_device(setting: str, choice: DeviceChoice, number: int = 0) -> torch.device:
    """The device of a part, made torch's current one if it is a GPU.

    Args:
        setting: what holds ``choice``, for log and error.
        choice: ``auto`` takes a GPU where torch finds one, ``cuda`` insists on it.
        number: of the GPU on this host (torchrun's ``LOCAL_RANK``).

    Raises:
        DeviceError: a GPU is promised and torch finds none, or fewer than ``number`` + 1.
    """
    named = f"{setting}={choice}"
    found = torch.cuda.device_count() if choice != "cpu" and torch.cuda.is_available() else 0
    if choice == "cuda" and not found:
        raise DeviceError(f"{named}, but {why_no_gpu()}; {_remedy()}, or set {setting}=cpu")
    if not found:
        reason = "" if choice == "cpu" else f": {why_no_gpu()}"
        logger.info("computing on the CPU (%s%s)", named, reason)
        return torch.device("cpu")
    if number >= found:
        raise DeviceError(
            f"{named} wants GPU {number} of this host, which has {found}, counted "
            f"from 0; start {found} trainer processes here (--nproc-per-node)"
        )
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    logger.info("computing on %s, %s (%s)", device, torch.cuda.get_device_name(device), named)
    return device


def why_no_gpu() -> str:
    """What keeps torch from a GPU."""
    if not _built_for_gpus():
        return f"torch {torch.__version__} is a build without CUDA"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = f" (CUDA_VISIBLE_DEVICES={visible!r})" if visible is not None else ""
    return f"torch {torch.__version__} finds no GPU here{hidden}"


def _built_for_gpus() -> bool:
    return torch.version.cuda is not None or torch.version.hip is not None


def _remedy() -> str:
    if not _built_for_gpus():
        return "install a CUDA build of torch (images: VAPO_VARIANT=cuda)"
    return "give this process one (containers: the NVIDIA container toolkit and deploy/compose.gpu.yml)"
