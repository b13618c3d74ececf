"""From the folders a user names to a trained network: puts the parts of a run together."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vfimamba_cli.checkpoint.load import TINY_SPEC, find_weights, unknown_model
from vfimamba_cli.checkpoint.manifest import read_manifest
from vfimamba_cli.checkpoint.store import load_weights, read_checkpoint
from vfimamba_cli.data.batches import TripletBatches
from vfimamba_cli.data.clips import VIDEO_SUFFIXES, find_files
from vfimamba_cli.errors import CheckpointError, OptionError
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.ops.device import choose_device
from vfimamba_cli.ops.scan import Backend, choose_backend
from vfimamba_cli.train.distributed import Processes, joined_processes
from vfimamba_cli.train.logbook import Logbook
from vfimamba_cli.train.memory import OTHER_BATCH, measure_cost, with_fitting_batch
from vfimamba_cli.train.objective import Objective
from vfimamba_cli.train.plan import describe_costs, describe_device, describe_recipe
from vfimamba_cli.train.precision import choose_precision
from vfimamba_cli.train.recipe import Recipe
from vfimamba_cli.train.run_folder import RunFolder
from vfimamba_cli.train.sources import Announce, open_material, survey
from vfimamba_cli.train.trainer import Trainer
from vfimamba_cli.train.validation import load_validation

Stopping = Callable[[], AbstractContextManager[Callable[[], bool]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a run reads and writes, and where it runs.

    Attributes:
        data: folder of videos, or of the published sets.
        photos: folder of photographs for moving layers, or None.
        validation: folder of the DAVIS-7 file or of videos, or None.
        validate_every: steps between two validations; None goes by the clock.
        out: the run's folder.
        initial: checkpoint to start from instead of random weights, or None.
        resume: go on with the run in `out`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        scan: name of a scan backend, or `auto`.
        prepared: record the steps as CUDA graphs, and let PyTorch compile them for a long run,
            where Triton runs the scan and so can be relied on.
    """

    data: Path
    out: Path
    photos: Path | None = None
    validation: Path | None = None
    validate_every: int | None = None
    initial: Path | None = None
    resume: bool = False
    device: str = "auto"
    scan: str = "auto"
    prepared: bool = True


def train(session: Session, recipe: Recipe, *, announce: Announce, stopping: Stopping) -> bool:
    """Run `recipe` to its end, or until it is stopped; alone, or under torchrun with others.

    Args:
        stopping: entered when there is something to save, not before: what it gives is asked
            after each step whether to stop.

    Returns:
        Whether the end was reached; if not, the run can be resumed.

    Raises:
        VfimambaError: one of its children, for all that a user can act on.
    """
    if session.resume and session.initial:
        raise OptionError(
            f"--resume goes on with the weights in {session.out}, --init starts from those in "
            f"{session.initial}",
            hint="Leave one of them out",
        )
    with joined_processes(session.device) as processes:
        share = processes.share_of(recipe.batch)
        folder = RunFolder(session.out)
        if processes.is_first:
            folder.prepare(resume=session.resume)
        with folder.gone_if_empty():
            trainer = make_trainer(session, recipe, folder, processes, announce)
            if session.resume:
                trainer.resume()
            elif processes.is_first:
                parameters = sum(p.numel() for p in trainer.network.parameters())
                folder.check_space(parameters)
        if trainer.progress() >= 1:
            trainer.logbook.say("the run has reached its end already")
        for line in describe(trainer, session):
            trainer.logbook.say(line)
        way_out = OTHER_BATCH
        if session.resume:
            way_out = f"{{}} in all, but a run keeps its batch. {folder.another_run}"
        with closing(trainer.batches), stopping() as stopped:
            return with_fitting_batch(
                lambda: trainer.run(stopped),
                trainer.objective,
                share,
                max(phase.crop for phase in recipe.phases),
                processes,
                way_out,
            )


def dry_run(session: Session, recipe: Recipe, *, announce: Announce) -> None:
    """Say what `train` would do, and what it would take, from a step on noise; write nothing.

    Raises:
        VfimambaError: as `train`, where that can be known without the data.
    """
    with joined_processes(session.device) as processes:
        say = announce if processes.is_first else lambda _: None
        share = processes.share_of(recipe.batch)
        folder = RunFolder(session.out)
        folder.check(resume=session.resume)
        done = folder.read(recipe).step if session.resume else 0
        if session.validation is not None:
            find_files(session.validation, VIDEO_SUFFIXES, "video")
        device = set_up(own_device(session, processes))
        network = make_network(session, recipe, device)
        say(describe_network(network, session, recipe, at_step=done))
        survey(recipe, data=session.data, photos=session.photos, announce=say)
        for line in describe_recipe(recipe):
            say(line)
        if done:
            say("what follows is of the whole run, with the steps that are done")
        network.train().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        objective = Objective(network, choose_precision(device))
        crops = sorted({phase.crop for phase in recipe.phases})
        long = recipe.is_long(0, 0)
        costs = [
            measure_cost(objective, share, crop, processes, say, compiled=long) for crop in crops
        ]
        for line in describe_costs(recipe, costs, processes=processes.count):
            say(line)


def make_trainer(
    session: Session, recipe: Recipe, folder: RunFolder, processes: Processes, announce: Announce
) -> Trainer:
    """Everything a run needs, decoded and in its place."""
    device = set_up(own_device(session, processes))
    network = make_network(session, recipe, device)
    logbook = Logbook(folder.metrics if processes.is_first else None, announce)
    material = open_material(
        recipe,
        data=session.data,
        photos=session.photos,
        device=device,
        announce=logbook.say,
        processes=processes.count,
    )
    batches = TripletBatches(
        material.mixtures(recipe),
        size=recipe.batch,
        seed=recipe.seed,
        device=device,
        rank=processes.rank,
        ranks=processes.count,
        workers=max((os.cpu_count() or 1) // processes.count, 1),
        fingerprint=material.fingerprint(),
        announce=announce,
    )
    validation = session.validation if processes.is_first else None
    return Trainer(
        network,
        batches,
        recipe,
        folder=folder,
        logbook=logbook,
        validation=load_validation(validation) if validation else None,
        validate_every=session.validate_every,
        processes=processes,
        prepared=session.prepared and network.kernels,
    )


def own_device(session: Session, processes: Processes) -> torch.device:
    """The device asked for; one of several processes takes the GPU of its number."""
    device = choose_device(session.device)
    if processes.count > 1 and device.type == "cuda":
        return choose_device(f"cuda:{processes.local_rank}")
    return device


def set_up(device: torch.device) -> torch.device:
    """Make a GPU the current one, with its fastest kernels and TF32; `device` with its index."""
    device = torch.empty(0, device=device).device  # as tensors will say it
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("high")
    return device


def find_spec(recipe: Recipe) -> ModelSpec:
    """What the trained weights will say of themselves: R, G, B, and which timesteps they know.

    Raises:
        CheckpointError: if no model has that name.
    """
    entries = read_manifest()
    known = {TINY_SPEC.name: TINY_SPEC} | {entry.name: entry.spec for entry in entries.values()}
    if recipe.model not in known:
        raise unknown_model(recipe.model, entries)
    spec = known[recipe.model]
    config = spec.config
    if recipe.column_merge:
        config = replace(config, column_merge=recipe.column_merge)
    if recipe.arrangement:
        config = replace(config, rows=recipe.arrangement, columns=recipe.arrangement)
    return replace(spec, config=config, channel_order="rgb", arbitrary_time=recipe.arbitrary_time)


def find_scan(session: Session, spec: ModelSpec, device: torch.device) -> Backend:
    """What runs the scans; kernels for tokens that alternate run no others.

    Raises:
        DeviceError: if the scan asked for cannot run there.
    """
    sequences = not spec.config.alternates
    return choose_backend(session.scan, device, training=True, sequences=sequences)


def make_network(session: Session, recipe: Recipe, device: torch.device) -> VFIMamba:
    """Random weights by the recipe's seed, or those to start from.

    Raises:
        CheckpointError: there are none, or they belong to another network.
    """
    spec = find_spec(recipe)
    backend = find_scan(session, spec, device)
    torch.manual_seed(recipe.seed)
    network = spec.build()
    if initial := find_initial(session, recipe):
        checkpoint = read_checkpoint(initial)
        load_weights(network, checkpoint.weights, origin=str(initial))
        if checkpoint.spec.config != spec.config:
            raise CheckpointError(
                f"The weights to start from were trained in another network: {initial}",
                hint="Give its --column-merge and --arrangement, or leave these out",
            )
    network.use_scan(backend)
    return network


def find_initial(session: Session, recipe: Recipe) -> Path | None:
    """The weights to start from: fine-tuning has the model's own by default."""
    if session.initial or session.resume or recipe.stage != "finetune":
        return session.initial
    return find_weights(recipe.model)


def describe(trainer: Trainer, session: Session) -> Iterator[str]:
    """Everything that was chosen, a line each."""
    recipe, processes = trainer.recipe, trainer.processes
    yield describe_network(trainer.network, session, recipe, at_step=trainer.step)
    device = trainer.batches.device
    scan = find_scan(session, trainer.network.spec, device).name
    yield (
        f"device: {device} ({describe_device(device)}), convolutions in {trainer.precision}, "
        f"scan {scan}, steps {'prepared at the start' if trainer.prepared else 'eager'}"
    )
    if processes.count > 1:
        share = recipe.batch // processes.count
        yield f"processes: {processes.count}, {share} samples of each batch in each"
    yield from describe_recipe(recipe)
    yield f"folder: {session.out}"


def describe_network(
    network: VFIMamba, session: Session, recipe: Recipe, *, at_step: int = 0
) -> str:
    """Its size and shape, and what it starts from."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    config = network.spec.config
    start = f"step {at_step}" if at_step else find_initial(session, recipe) or "random weights"
    return (
        f"model: {recipe.model}, {parameters:,} parameters, {config.column_merge} column merge, "
        f"{config.rows} frames, from {start}"
    )
