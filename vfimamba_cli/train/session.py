"""From a folder of clips to a trained network: puts the parts of a run together."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vfimamba_cli.checkpoint.load import TINY_SPEC, unknown_model
from vfimamba_cli.checkpoint.manifest import read_manifest
from vfimamba_cli.checkpoint.store import load_weights, read_checkpoint
from vfimamba_cli.data.batches import TripletBatches
from vfimamba_cli.data.clips import Footage, load_clips, load_photos
from vfimamba_cli.data.davis7 import find_davis7, read_davis7, spread
from vfimamba_cli.data.sampling import TripletSampler
from vfimamba_cli.data.synthetic import SyntheticScenes
from vfimamba_cli.errors import OptionError
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.ops.device import choose_device
from vfimamba_cli.ops.scan import Backend, choose_backend
from vfimamba_cli.train.recipe import Recipe
from vfimamba_cli.train.run_folder import RunFolder
from vfimamba_cli.train.trainer import Trainer

VALIDATION_CLIPS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a run reads and writes, and where it runs.

    Attributes:
        data: folder of videos.
        photos: folder of photographs for moving layers, or None.
        validation: folder of the DAVIS-7 file, or None.
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
    initial: Path | None = None
    resume: bool = False
    device: str = "auto"
    scan: str = "auto"
    prepared: bool = True


def train(
    session: Session,
    recipe: Recipe,
    *,
    announce: Callable[[str], None],
    stopping: Callable[[], AbstractContextManager[Callable[[], bool]]],
) -> bool:
    """Run `recipe` to its end, or until it is stopped.

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
    folder = RunFolder(session.out)
    folder.prepare(resume=session.resume)
    device = set_up(choose_device(session.device))
    network = make_network(session, recipe, device)
    batches = make_batches(session, recipe, device, announce)
    trainer = Trainer(
        network,
        batches,
        recipe,
        folder=folder,
        announce=announce,
        validation=load_validation(session.validation) if session.validation else None,
        prepared=session.prepared and network.kernels,
    )
    if session.resume:
        trainer.resume()
    for line in describe(trainer, recipe, session):
        announce(line)
    with stopping() as stopped:
        return trainer.run(stopped)


def set_up(device: torch.device) -> torch.device:
    """Let CUDA choose its fastest kernels and TF32 for training; `device` with its index."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("high")
    return torch.empty(0, device=device).device  # as tensors will say it


def find_spec(name: str) -> ModelSpec:
    """What the trained weights will say of themselves: R, G, B and any timestep.

    Raises:
        CheckpointError: if no model has that name.
    """
    entries = read_manifest()
    known = {TINY_SPEC.name: TINY_SPEC} | {entry.name: entry.spec for entry in entries.values()}
    if name not in known:
        raise unknown_model(name, entries)
    return replace(known[name], channel_order="rgb", arbitrary_time=True)


def find_scan(session: Session, spec: ModelSpec, device: torch.device) -> Backend:
    """What runs the scans; kernels for tokens that alternate run no others.

    Raises:
        DeviceError: if the scan asked for cannot run there.
    """
    sequences = not spec.config.alternates
    return choose_backend(session.scan, device, training=True, sequences=sequences)


def make_network(session: Session, recipe: Recipe, device: torch.device) -> VFIMamba:
    """Random weights by the recipe's seed, or those of `session.initial`."""
    spec = find_spec(recipe.model)
    backend = find_scan(session, spec, device)
    torch.manual_seed(recipe.seed)
    network = spec.build()
    if session.initial:
        weights = read_checkpoint(session.initial).weights
        load_weights(network, weights, origin=str(session.initial))
    network.use_scan(backend)
    return network


def make_batches(
    session: Session, recipe: Recipe, device: torch.device, announce: Callable[[str], None]
) -> TripletBatches:
    """Decode everything and say what was found."""
    footage = load_clips(session.data, device=device)
    announce_footage("clips", session.data, footage, announce)
    scenes, synthetic = None, 0
    if session.photos:
        photos = load_photos(session.photos, device=device)
        announce_footage("photographs", session.photos, photos, announce)
        pictures = (*photos.clips, *footage.clips)
        scenes = SyntheticScenes(pictures, recipe.synthetic, recipe.triplets.crop)
        synthetic = round(recipe.synthetic_share * recipe.batch)
    sampler = TripletSampler(footage.clips, recipe.triplets)
    return TripletBatches(
        sampler=sampler,
        scenes=scenes,
        size=recipe.batch,
        synthetic=synthetic,
        seed=recipe.seed,
        device=device,
    )


def announce_footage(
    kind: str, path: Path, footage: Footage, announce: Callable[[str], None]
) -> None:
    """Say how much there is, where it is kept, and what was skipped."""
    for problem in footage.skipped:
        announce(f"skipped: {problem}")
    announce(
        f"{kind}: {len(footage.clips)} of {path}, {footage.frame_count} frames, "
        f"{footage.nbytes / 1e9:.2f} GB in the memory of {footage.device}, "
        f"{len(footage.skipped)} skipped"
    )


def load_validation(folder: Path) -> Tensor:
    """(N, 9, 3, H, W) uint8: some of the DAVIS-7 clips in `folder`, on the host."""
    clips = spread(read_davis7(find_davis7(folder)), VALIDATION_CLIPS)
    return torch.from_numpy(clips).permute(0, 1, 4, 2, 3).contiguous()


def describe(trainer: Trainer, recipe: Recipe, session: Session) -> list[str]:
    """Everything that was chosen, a line each."""
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    batches, device = trainer.batches, trainer.batches.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    scan = find_scan(session, trainer.network.spec, device).name
    length = " or ".join(
        text
        for value, text in (
            (recipe.steps, f"{recipe.steps} steps"),
            (recipe.minutes, f"{recipe.minutes:g} minutes" if recipe.minutes else ""),
        )
        if value
    )
    return [
        f"model: {recipe.model}, {parameters:,} parameters, from "
        f"{'step ' + str(trainer.step) if trainer.step else session.initial or 'random weights'}",
        f"device: {device} ({name}), convolutions in {trainer.precision}, scan {scan}, "
        f"steps {'prepared at the start' if trainer.prepared else 'eager'}",
        f"samples: batches of {batches.size} at {recipe.triplets.crop} x {recipe.triplets.crop}, "
        f"{batches.synthetic} of them moving layers",
        f"schedule: {length}, learning rate up to {recipe.lr:g}, seed {recipe.seed}",
        f"folder: {session.out}",
    ]
