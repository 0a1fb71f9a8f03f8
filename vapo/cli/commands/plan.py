"""`vapo plan`: what a run will need, what to expect of it, and what will limit it."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from vapo.cli.errors import CommandError
from vapo.local.run_folders.run_folder import RunFolderError
from vapo.option_types import above, amount, at_least, path, whole
from vapo.planning.closed_forms import best_split, with_split
from vapo.planning.measured import MeasurementError, measure_run
from vapo.planning.plan import make_plan
from vapo.planning.plan_table import plan_table
from vapo.planning.quantities import Deployment, ModelSize, Rates, Workload

GIGABIT = 1e9 / 8
GIB = 2.0**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = __doc__ + EXPLANATION
    _add_model(parser)
    _add_workload(parser)
    _add_rates(parser)
    _add_deployment(parser)
    parser.add_argument("--steps", type=whole(1), default=30, help="training steps to simulate")
    parser.add_argument("--seed", type=whole(0), default=0, help="of the response lengths")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


EXPLANATION = """

Rates are yours to measure: tokens/s of one generator replica (lab/benchmarks/generator_throughput.py or
vapo_generator_tokens_total), of the trainer (lab/benchmarks/trainer_step.py), and the standstill
(vapo_generator_weight_standstill_seconds). docs/scaling.md has the formulas.

  vapo plan --parameters 7.6e9 --layers 28 --kv-heads 4 --generator-rate 9000 --generators 8 \\
            --trainer-rate 60000 --mean-length 8000 --max-length 20000 --prompts 512 --samples 16
  vapo plan --parameters 7.6e9 --generator-rate 9000 --trainer-rate 7500 --gpus 64
  vapo plan --from-run runs/default --parameters 6e5
"""


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--parameters", type=amount, required=True, metavar="N", help="such as 7.6e9, 7B or 600M")
    group.add_argument(
        "--dtype-bytes", type=whole(1), default=2, metavar="B", help="of a published parameter (default: 2, bfloat16)"
    )
    group.add_argument("--layers", type=whole(0), default=0, help="for the key-value cache")
    group.add_argument("--kv-heads", type=whole(0), default=0, help="for the key-value cache")
    group.add_argument(
        "--head-size", type=whole(1), default=128, help="of an attention head, for the key-value cache (128)"
    )


def _add_workload(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rollouts")
    group.add_argument("--prompts", type=whole(1), default=512, metavar="N", help="a step (512)")
    group.add_argument("--samples", type=whole(1), default=16, metavar="N", help="of each prompt (16)")
    group.add_argument("--prompt-length", type=at_least(1), default=200, metavar="TOKENS", help="of a prompt (200)")
    group.add_argument("--mean-length", type=at_least(1), default=8000, metavar="TOKENS", help="of responses (8000)")
    group.add_argument(
        "--max-length", type=whole(1), default=20000, metavar="TOKENS", help="responses are cut off here (20000)"
    )
    group.add_argument(
        "--spread",
        type=at_least(0),
        default=0.5,
        metavar="S",
        help="standard deviation of the lengths over their mean (0.5); 0: all alike",
    )
    group.add_argument("--max-staleness", type=whole(0), default=1, metavar="STEPS", help="ledger.max_staleness (1)")


def _add_rates(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rates, as measured")
    group.add_argument("--from-run", type=path, metavar="DIR", help="take rollouts and rates from a run's folder")
    group.add_argument("--generator-rate", type=above(0), metavar="TOKENS/S", help="of one replica at full load")
    group.add_argument(
        "--trainer-rate", type=above(0), metavar="TOKENS/S", help="of the trainer; of one trainer GPU with --gpus"
    )
    group.add_argument("--generators", type=whole(1), default=1, metavar="N", help="replicas")
    group.add_argument("--gpus", type=whole(1), metavar="N", help="to share out between the two")
    group.add_argument("--gpus-per-generator", type=whole(1), default=1, metavar="N", help="of one replica (1)")
    group.add_argument("--sequences", type=whole(1), default=256, metavar="N", help="at once in one replica (256)")
    group.add_argument(
        "--sequence-rate",
        type=above(0),
        metavar="TOKENS/S",
        help="of one response alone in an engine (default: no limit)",
    )
    group.add_argument(
        "--standstill", type=at_least(0), default=0.0, metavar="S", help="of generation per weight update"
    )
    group.add_argument("--publish", type=at_least(0), default=0.0, metavar="S", help="trainer's time per publication")


def _add_deployment(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("hosts")
    group.add_argument("--uplink", type=above(0), default=10.0, metavar="GBIT/S", help="of the trainer's host (10)")
    group.add_argument(
        "--generators-per-host", type=whole(1), default=8, metavar="N", help="replicas that share a host (8)"
    )
    group.add_argument("--value-replicas", type=whole(0), default=1, metavar="N", help="value services (1)")
    group.add_argument("--redis-memory", type=above(0), default=16.0, metavar="GIB", help="of the Redis host (16)")
    group.add_argument("--retained", type=whole(0), default=5000, metavar="N", help="ledger.retained_rollouts (5000)")
    group.add_argument(
        "--checkpoint-every", type=whole(1), default=10, metavar="STEPS", help="trainer.checkpoint_every_steps (10)"
    )
    group.add_argument(
        "--cache-memory", type=at_least(0), default=0.0, metavar="GIB", help="for keys and values of one replica"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    try:
        work, rates = _from_run(arguments) if arguments.from_run else _stated(arguments)
        plan = make_plan(work, rates, _model(arguments), _deployment(arguments), arguments.steps, arguments.seed)
    except (MeasurementError, RunFolderError, ValueError) as error:
        raise CommandError(str(error)) from None
    print(json.dumps(plan.as_json(), indent=2) if arguments.json else plan_table(plan))
    return 0


def _from_run(arguments: argparse.Namespace) -> tuple[Workload, Rates]:
    work, rates, _ = measure_run(arguments.from_run, arguments.generators)
    return (
        replace(work, spread=arguments.spread, prompt_tokens=arguments.prompt_length),
        replace(
            rates,
            standstill_seconds=arguments.standstill,
            generator_tokens_per_second=arguments.generator_rate or rates.generator_tokens_per_second,
        ),
    )


def _stated(arguments: argparse.Namespace) -> tuple[Workload, Rates]:
    if arguments.generator_rate is None or arguments.trainer_rate is None:
        raise CommandError("--generator-rate and --trainer-rate are needed, or --from-run DIR")
    work = Workload(
        arguments.prompts,
        arguments.samples,
        arguments.mean_length,
        arguments.max_length,
        arguments.spread,
        arguments.prompt_length,
        arguments.max_staleness,
    )
    rates = Rates(
        arguments.generators,
        arguments.generator_rate,
        arguments.trainer_rate,
        arguments.sequences,
        arguments.sequence_rate,
        arguments.standstill,
        arguments.publish,
    )
    if arguments.gpus is not None:
        split = best_split(work, rates, arguments.gpus, arguments.gpus_per_generator)
        rates = with_split(rates, *split)
    return work, rates


def _model(arguments: argparse.Namespace) -> ModelSize:
    return ModelSize(
        arguments.parameters, arguments.dtype_bytes, arguments.layers, arguments.kv_heads, arguments.head_size
    )


def _deployment(arguments: argparse.Namespace) -> Deployment:
    return Deployment(
        uplink_bytes_per_second=arguments.uplink * GIGABIT,
        generators_per_host=arguments.generators_per_host,
        value_replicas=arguments.value_replicas,
        redis_memory_bytes=arguments.redis_memory * GIB,
        retained_rollouts=arguments.retained,
        checkpoint_every_steps=arguments.checkpoint_every,
        cache_memory_bytes=arguments.cache_memory * GIB,
    )
