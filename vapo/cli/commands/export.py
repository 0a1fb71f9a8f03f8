"""`vapo export`: a run's policy as a plain Hugging Face folder, without a running stack."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vapo.cli.errors import CommandError
from vapo.cli.progress import ProgressLine
from vapo.local.run_folder import RunFolderError
from vapo.local.run_history import AnotherModelError, check_model
from vapo.local.runs import choose
from vapo.option_types import path, whole
from vapo.settings import Settings, SettingsError
from vapo.weights.hf_export import ExportError, Source, base_model_of, find_source, write_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--run", type=path, metavar="RUN", help="folder or name of a run (default: the live one, else the newest)"
    )
    parser.add_argument("--output", type=path, required=True, metavar="DIR", help="must not exist yet")
    parser.add_argument(
        "--model", type=path, metavar="FOLDER", help="where the run's base model lies now, if it was moved"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="type of the weights (default: the base model's, if they were trained in no less)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=whole(1), help="this weight version instead of the newest")
    which.add_argument("--step", type=whole(0), help="the checkpoint of this step instead of the newest")


def run(arguments: argparse.Namespace) -> int:
    """Write the folder and say what is in it."""
    try:
        settings = _settings(arguments.run)
        source = find_source(settings.run, arguments.version, arguments.step)
        with ProgressLine() as progress, progress.waiting(f"writing {arguments.output}"):
            base = arguments.model or base_model_of(source, settings.model.path)
            check_model(settings.run.directory, None, changed(settings, base))
            dtype = write_folder(source, base.expanduser(), arguments.output, arguments.dtype)
    except (AnotherModelError, ExportError, RunFolderError, SettingsError, OSError) as error:
        raise CommandError(str(error)) from None
    print(f"{arguments.output}: the policy {describe(source)} in {dtype}, for transformers and vLLM")
    return 0


def changed(settings: Settings, base_model: Path) -> Settings:
    """The settings with another model folder."""
    model = settings.model.model_copy(update={"path": base_model})
    return settings.model_copy(update={"model": model})


def describe(source: Source) -> str:
    """Which weights these are."""
    return f"after step {source.step} ({source.kind} {source.folder.name})"


def _settings(named: Path | None) -> Settings:
    chosen, choice = choose(named)
    if choice:
        print(choice, file=sys.stderr)
    settings = chosen.folder.read_settings()
    here = settings.run.model_copy(update={"directory": chosen.folder.directory})
    return settings.model_copy(update={"run": here})
