"""`vapo export`: a run's policy as a plain Hugging Face folder, without a running stack."""

from __future__ import annotations

import argparse
from pathlib import Path

from vapo.cli.connection_options import add_run_option, chosen_run
from vapo.cli.errors import CommandError
from vapo.cli.output.progress_line import ProgressLine
from vapo.local.run_folders.run_folder import RunFolderError
from vapo.local.run_folders.start_history import AnotherModelError, check_model
from vapo.local.stack import changed
from vapo.option_types import path, whole
from vapo.settings import Settings, SettingsError
from vapo.weights.hf_export import ExportError, Source, base_model_of, find_source, write_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_run_option(parser)
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
            check_model(settings.run.directory, None, changed(settings, {"model": {"path": base}}))
            dtype = write_folder(source, base.expanduser(), arguments.output, arguments.dtype)
    except (AnotherModelError, ExportError, RunFolderError, SettingsError, OSError) as error:
        raise CommandError(str(error)) from None
    print(f"{arguments.output}: the policy {describe(source)} in {dtype}, for transformers and vLLM")
    return 0


def describe(source: Source) -> str:
    """Which weights these are."""
    return f"after step {source.step} ({source.kind} {source.folder.name})"


def _settings(named: Path | None) -> Settings:
    chosen = chosen_run(named)
    return changed(chosen.folder.read_settings(), {"run": {"directory": chosen.folder.directory}})
