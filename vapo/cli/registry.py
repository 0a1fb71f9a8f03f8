"""The table of commands.

Invariant: this module imports nothing heavy. A command's module is imported only when that command
runs, and offers

    add_arguments(parser: argparse.ArgumentParser) -> None
    run(arguments: argparse.Namespace) -> int        # the exit status

A failure the user can mend is raised as `vapo.cli.errors.CommandError`. The commands for study are
programs of the checkout's `lab/`, which no wheel contains (`vapo.cli.laboratory`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, the module that carries it out, and one line for the overview."""

    name: str
    module: str
    summary: str

    @property
    def in_checkout(self) -> bool:
        """Whether a program of the laboratory carries it out."""
        return self.module.startswith("lab.")


COMMANDS: tuple[Command, ...] = (
    Command("demo", "vapo.demo.command", "train the small model on this machine and show what it learnt"),
    Command("up", "vapo.cli.commands.up", "start all parts on this machine with your own model and settings"),
    Command("relay", "vapo.cli.commands.relay", "fetch weights once for all replicas of this host"),
    Command("init", "vapo.cli.commands.init", "settings and secrets for parts that containers run"),
    Command("submit", "vapo.cli.commands.submit", "send a file of problems with reference answers"),
    Command("datasets", "vapo.cli.commands.datasets", "list the run's data sets, or remove one"),
    Command("eval", "vapo.cli.commands.eval", "measure avg@k, pass@k and maj@k on a held-out file"),
    Command("verify", "vapo.cli.commands.verify", "judge a JSONL file of answers against references"),
    Command("runs", "vapo.cli.commands.runs", "list the runs on this machine and how they go or ended"),
    Command("status", "vapo.cli.commands.status", "one look at the run: parts, queues, step, weight version"),
    Command("watch", "vapo.cli.commands.watch", "follow a run as it trains"),
    Command("metrics", "vapo.cli.commands.metrics", "print or draw the metrics of a run"),
    Command("plan", "vapo.cli.commands.plan", "what a run of a given size needs, and what will limit it"),
    Command("export", "vapo.cli.commands.export", "write a plain Hugging Face checkpoint"),
    Command("audit", "vapo.cli.commands.audit", "look for every sample of a run, live or stopped"),
    Command("config", "vapo.cli.commands.config", "print the resolved settings and where they differ"),
    Command("doctor", "vapo.cli.commands.doctor", "check what this machine has and what it lacks"),
    Command("base-model", "lab.base_model", "make the demo's base checkpoint from scratch"),
    Command("ablate", "lab.study", "VAPO against its leave-one-out variants and baselines"),
)


def find(name: str) -> Command | None:
    """The command called `name`, or None."""
    return next((command for command in COMMANDS if command.name == name), None)
