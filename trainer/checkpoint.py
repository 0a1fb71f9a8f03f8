"""Checkpoints: all a trainer needs to go on as if it had not stopped.

A checkpoint is a folder ``<step>`` with safetensors (weights and optimiser moments of actor and
critic, torch's random state) and ``manifest.json`` (position in the run and the ledger, optimiser
step counts, numpy's random state, settings, size and SHA-256 of every file).

Invariants:
- it appears complete or not at all, and only a folder with its manifest and all files counts;
- tensors are whole, so any number of ranks resumes what any number wrote;
- rank 0 alone writes and reads it and sends the others what they need: hosts need share no disk;
- no pickle anywhere;
- resuming gives the next step bit for bit (CPU, same number of ranks).
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from trainer.learning.learner import Learner
from trainer.learning.state_dicts import (
    critic_state_dict,
    load_critic_state_dict,
    load_optimiser_state_dict,
    load_policy_state_dict,
    optimiser_state_dict,
    policy_state_dict,
)
from trainer.ranks.parallel import Ranks, broadcast_bytes, share_number
from trainer.ranks.shared_file import SharedFile
from trainer.records.position import RunPosition
from vapo.durable import durable_folder
from vapo.weights import FileEntry, sha256_of

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
FORMAT = 1
ACTOR, CRITIC = "actor.safetensors", "critic.safetensors"
ACTOR_OPTIMISER, CRITIC_OPTIMISER = "actor_optimiser.safetensors", "critic_optimiser.safetensors"
TORCH_RANDOM = "torch_random.safetensors"


class CheckpointError(RuntimeError):
    """A checkpoint is damaged or of another run; the text names it and the remedy."""


class CheckpointFormatError(CheckpointError):
    """A checkpoint of another release. Never passed over: the run would begin anew, unasked."""


@dataclass(frozen=True)
class CheckpointManifest:
    """What ``manifest.json`` holds."""

    format: int
    position: RunPosition
    optimiser_steps: dict[str, int]
    random: dict[str, Any]
    settings: dict[str, Any]
    files: dict[str, FileEntry]
    created_at: float = field(default_factory=time.time)


def save_checkpoint(directory: Path, learner: Learner, position: RunPosition, settings: dict[str, Any]) -> Path:
    """Write a checkpoint and remove all but the newest ``trainer.keep_checkpoints``; every rank
    must call this.

    Returns:
        Its folder. When this returns on rank 0, the checkpoint is on disk.
    """
    folder = directory / f"{position.step:08d}"
    if not learner.ranks.is_first:
        for gather in _state_dicts(learner).values():
            gather(False)
        return folder
    with durable_folder(folder) as unfinished:
        for name, gather in _state_dicts(learner).items():
            save_file(gather(True), unfinished / name)  # one file's tensors in memory at a time
        manifest = _manifest(unfinished, learner, position, settings)
        (unfinished / MANIFEST).write_text(json.dumps(asdict(manifest)), encoding="utf-8")
    _remove_old(directory, folder, learner.trainer.keep_checkpoints)
    return folder


def newest_checkpoint(directory: Path) -> Path | None:
    """The newest complete checkpoint, or None. Damaged ones are passed over with a warning.

    Raises:
        CheckpointFormatError: another release wrote one that this one cannot read.
    """
    for folder in reversed(_folders(directory)):
        try:
            manifest = read_manifest(folder)
            _check_sizes(folder, manifest)
        except CheckpointFormatError:
            raise
        except CheckpointError as error:
            logger.warning("passing over a checkpoint: %s", error)
            continue
        return folder
    return None


def resume_newest(directory: Path, learner: Learner) -> CheckpointManifest | None:
    """Load the newest checkpoint that rank 0 finds; every rank must call this.

    Returns:
        Its manifest; None when rank 0 finds none.

    Raises:
        CheckpointError: as :func:`load_checkpoint`.
    """
    ranks = learner.ranks
    folder = newest_checkpoint(directory) if ranks.is_first else None
    found = share_number(int(folder is not None) if ranks.is_first else None, ranks)
    return load_checkpoint(folder, learner) if found else None


def load_checkpoint(folder: Path | None, learner: Learner) -> CheckpointManifest:
    """Put a checkpoint's state into ``learner``; every rank must call this.

    Args:
        folder: rank 0's; the others' is not looked at, and may be None.

    Raises:
        CheckpointError: a file is damaged, or the checkpoint is of another model.
    """
    ranks = learner.ranks
    text = _checked(folder) if ranks.is_first and folder is not None else None
    manifest = _parse(broadcast_bytes(text, ranks).decode(), folder)
    try:
        with _shared(folder, ACTOR, ranks) as state:
            load_policy_state_dict(learner.policy, state)
        with _shared(folder, ACTOR_OPTIMISER, ranks) as state:
            load_optimiser_state_dict(learner.policy, learner.policy_optimiser, state)
        if learner.critic is not None:
            _load_critic(folder, manifest, learner)
    except ValueError as error:
        raise CheckpointError(f"checkpoint {folder} does not fit: {error}") from None
    learner.policy_optimiser.steps_taken = manifest.optimiser_steps["policy"]
    learner.random.bit_generator.state = manifest.random
    with _shared(folder, TORCH_RANDOM, ranks) as state:
        torch.set_rng_state(state["cpu"])
    return manifest


def _load_critic(folder: Path | None, manifest: CheckpointManifest, learner: Learner) -> None:
    if CRITIC not in manifest.files:
        raise CheckpointError(
            f"checkpoint {folder} has no critic; it is of a run with "
            "algorithm.estimator = 'group': start another run.name"
        )
    critic, optimiser = learner.required_critic()
    with _shared(folder, CRITIC, learner.ranks) as state:
        load_critic_state_dict(critic, state)
    with _shared(folder, CRITIC_OPTIMISER, learner.ranks) as state:
        load_optimiser_state_dict(critic, optimiser, state)
    optimiser.steps_taken = manifest.optimiser_steps["critic"]


def read_manifest(folder: Path) -> CheckpointManifest:
    """The manifest of a checkpoint.

    Raises:
        CheckpointError: it is missing or malformed.
        CheckpointFormatError: another release wrote it.
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"checkpoint {folder} has no readable {MANIFEST}: {error}") from None
    return _parse(text, folder)


def _parse(text: str, folder: Path | None) -> CheckpointManifest:
    try:
        raw = json.loads(text)
        _check_format(folder, raw["format"])
        position = raw.pop("position")
        position["unacknowledged"] = tuple((a, b) for a, b in position["unacknowledged"])
        files = {name: FileEntry(**entry) for name, entry in raw.pop("files").items()}
        return CheckpointManifest(position=RunPosition(**position), files=files, **raw)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {folder} has no readable {MANIFEST}: {error}") from None


def _check_format(folder: Path | None, found: int) -> None:
    if found != FORMAT:
        raise CheckpointFormatError(
            f"checkpoint {folder} has format {found}, this release reads {FORMAT}; go on with the "
            "release that wrote it, or give this run another run.directory and run.name"
        )


def _checked(folder: Path) -> bytes:
    """The manifest's bytes, once all files were found to match it."""
    for name, entry in read_manifest(folder).files.items():
        if sha256_of(folder / name) != entry.sha256:
            raise CheckpointError(
                f"{folder / name} does not match its manifest; remove the folder "
                "to resume from the checkpoint before it"
            )
    return (folder / MANIFEST).read_bytes()


def _shared(folder: Path | None, name: str, ranks: Ranks) -> SharedFile:
    return SharedFile(folder / name if folder is not None and ranks.is_first else None, ranks)


def _state_dicts(learner: Learner) -> dict[str, Callable[[bool], dict[str, Tensor]]]:
    """File name to what gathers its whole tensors, told whether to keep them. All ranks must call
    these in this order: they communicate when models are sharded."""
    files: dict[str, Callable[[bool], dict[str, Tensor]]] = {
        ACTOR: partial(policy_state_dict, learner.policy),
        ACTOR_OPTIMISER: partial(optimiser_state_dict, learner.policy, learner.policy_optimiser),
        TORCH_RANDOM: lambda _: {"cpu": torch.get_rng_state()},
    }
    if learner.critic is not None:
        critic, optimiser = learner.required_critic()
        files |= {
            CRITIC: partial(critic_state_dict, critic),
            CRITIC_OPTIMISER: partial(optimiser_state_dict, critic, optimiser),
        }
    return files


def _manifest(folder: Path, learner: Learner, position: RunPosition, settings: dict[str, Any]) -> CheckpointManifest:
    return CheckpointManifest(
        format=FORMAT,
        position=position,
        optimiser_steps={
            "policy": learner.policy_optimiser.steps_taken,
            **({"critic": learner.critic_optimiser.steps_taken} if learner.critic_optimiser is not None else {}),
        },
        random=dict(learner.random.bit_generator.state),
        settings=settings,
        files={file.name: FileEntry(sha256_of(file), file.stat().st_size) for file in sorted(folder.iterdir())},
    )


def _check_sizes(folder: Path, manifest: CheckpointManifest) -> None:
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != entry.bytes:
            raise CheckpointError(f"{path} is missing or not {entry.bytes} bytes long")


def _folders(directory: Path) -> list[Path]:
    return sorted(folder for folder in directory.glob("[0-9]*") if folder.name.isdigit())


def _remove_old(directory: Path, newest: Path, keep: int) -> None:
    """Keep ``newest`` and the ``keep`` - 1 before it, and nothing of interrupted writers. Folders
    of later steps do not count: a resume passed them over as damaged, and must not be left with
    them alone."""
    old = [folder for folder in _folders(directory) if folder <= newest][:-keep]
    for folder in (*old, *directory.glob(".[0-9]*")):
        shutil.rmtree(folder)
