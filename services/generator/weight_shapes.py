"""Whether a published file holds all of the model, looked up in headers alone, before any pause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from vapo.model.folder.contents import model_description
from vapo.model.folder.form import expected_tensors
from vapo.weights import WeightsError

Shapes = Mapping[str, tuple[int, ...]]


def tensor_shapes(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Name to shape of all tensors in safetensors files.

    Raises:
        WeightsError: a file is not safetensors.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 - safe_open is not a mapping
                    shapes[name] = tuple(file.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a readable safetensors file: {error}") from None
    return shapes


def base_shapes(model_folder: Path) -> Shapes:
    """What every publication must hold: the tensors of the model the engine started with."""
    return expected_tensors(model_description(model_folder))


def check_complete(actor: Path, expected: Shapes) -> None:
    """Raise WeightsError unless ``actor`` holds every expected tensor in its shape."""
    found = tensor_shapes([actor])
    missing = sorted(expected.keys() - found.keys())
    if missing:
        raise WeightsError(
            f"{actor} lacks {len(missing)} tensors of the model, e.g. {missing[:3]};"
            " publish all of the actor under its Hugging Face names"
        )
    wrong = [name for name, shape in expected.items() if found[name] != shape]
    if wrong:
        raise WeightsError(
            f"{actor}: {wrong[0]} has shape {found[wrong[0]]}, the model "
            f"{expected[wrong[0]]}; trainer and generator run different models"
        )
