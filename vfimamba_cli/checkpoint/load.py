"""`load_model`: from a name, a path or a Hub ID to a network ready to run."""

import difflib
from pathlib import Path

import torch

from vfimamba_cli.checkpoint import store
from vfimamba_cli.checkpoint.hub import HubId, MissingError, pull_id
from vfimamba_cli.checkpoint.local import pull_entry
from vfimamba_cli.checkpoint.manifest import Entry, read_manifest
from vfimamba_cli.errors import CheckpointError
from vfimamba_cli.model.config import TINY, VFIMAMBA
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.model.vfimamba import VFIMamba

TINY_SPEC = ModelSpec(name="tiny", config=TINY, arbitrary_time=True)
"""Random weights, the same each time: for smoke tests, and listed nowhere."""

RANDOM_SPEC = ModelSpec(name="vfimamba-random", config=VFIMAMBA)
"""The large network with such weights: to time it where its own cannot be had. Listed nowhere."""

HIDDEN = {spec.name: spec for spec in (TINY_SPEC, RANDOM_SPEC)}

FILE_SUFFIXES = (".safetensors", ".pkl", ".pth", ".pt", ".ckpt", ".bin")


def load_model(name_or_path: str | Path) -> VFIMamba:
    """A network with its weights, in fp32 on the CPU, in eval mode, its `spec` set.

    Args:
        name_or_path: a name that `vfimamba weights list` shows, the path of a checkpoint
            written by this program, or `owner/repo[@revision][:file]` on the Hub.

    Raises:
        CheckpointError: unknown name, or weights that are missing, damaged or do not fit.
    """
    if isinstance(name_or_path, str) and name_or_path in HIDDEN:
        return _random(HIDDEN[name_or_path])
    path = find_weights(name_or_path)
    checkpoint = store.read_checkpoint(path)
    with torch.device("meta"):  # random weights, half a second of them, would only be replaced
        network = checkpoint.spec.build()
    store.load_weights(network, checkpoint.weights, origin=str(path))
    return network.eval()


def find_weights(name_or_path: str | Path) -> Path:
    """The checkpoint file that `name_or_path` means, downloaded if need be.

    Raises:
        CheckpointError: nothing is known by that name, or it cannot be had.
    """
    entries = read_manifest()
    text = str(name_or_path)
    if text in entries:
        return pull_entry(entries[text])
    path = Path(name_or_path)
    hub_id = HubId.parse(text)
    named_as_file = path.suffix in FILE_SUFFIXES and ":" not in text
    if isinstance(name_or_path, Path) or path.exists() or named_as_file:
        return path
    if hub_id is None:
        raise unknown_model(text, entries, or_file=True)
    try:
        return pull_id(hub_id)
    except MissingError as error:  # perhaps it was meant as a path
        raise CheckpointError(
            f"{error}; no such file here either: {path}", hint=error.hint
        ) from error


def unknown_model(
    name: str, entries: dict[str, Entry], *, or_file: bool = False
) -> CheckpointError:
    """The error for a name that means nothing, with what it might have meant.

    Args:
        name: that was given.
        entries: the models that have one.
        or_file: whether a path or Hub ID could have been given as well.
    """
    close = difflib.get_close_matches(name, entries, n=1)
    guess = f"Did you mean {close[0]}? " if close else ""
    others = "Otherwise give the path of a .safetensors file or owner/repo on the Hub"
    return CheckpointError(
        f"Unknown model: {name} (known: {', '.join(entries)})",
        hint=guess + others if or_file else guess or "`vfimamba weights list` shows them",
    )


def _random(spec: ModelSpec) -> VFIMamba:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return spec.build().eval()
