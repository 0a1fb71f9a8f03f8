"""What the trainer looks at before it starts anything: models it reads, folders it writes."""

from __future__ import annotations

from vapo.model.critic import WEIGHTS_NAME
from vapo.model.folder.contents import check_model_folder, check_tensors, model_description, tensors_in
from vapo.model.folder.form import critic_tensors
from vapo.settings import Settings
from vapo.startup import StartupError, check_writable


def check_models(settings: Settings) -> None:
    """Every rank reads them.

    Raises:
        StartupError: the model's folder cannot be used, or the pretrained critic is not there.
    """
    check_model_folder(settings.model.path, context_tokens=settings.model.max_context_tokens)
    pretrained = settings.value_pretraining.checkpoint
    if pretrained is not None and not (pretrained / WEIGHTS_NAME).is_file():
        raise StartupError(
            f"value_pretraining.checkpoint={pretrained} has no {WEIGHTS_NAME}; name the folder "
            "pretrained_critic of a run, or leave it out to pretrain a critic"
        )
    if pretrained is not None and settings.has_critic:
        bounded = settings.model.value_bounds is not None
        check_tensors(
            tensors_in(pretrained / WEIGHTS_NAME),
            critic_tensors(model_description(settings.model.path), bounded),
            f"value_pretraining.checkpoint={pretrained}",
        )


def check_folders(settings: Settings) -> None:
    """Rank 0 writes them.

    Raises:
        StartupError: one cannot be written.
    """
    run = settings.run
    for folder in (run.directory, run.weights_directory, run.checkpoints_directory):
        check_writable("run.directory", folder)
