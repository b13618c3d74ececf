"""The published .pkl files, under our names.

The authors publish pickles of an ordered dict of fp32 tensors. They are read with torch's
restricted unpickler, which runs nothing of what a pickle may ask for.
"""

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from vfimamba_cli.checkpoint import store
from vfimamba_cli.errors import CheckpointError
from vfimamba_cli.model.config import VFIMAMBA, VFIMAMBA_S, ModelConfig
from vfimamba_cli.model.registry import ModelSpec

PREFIXES = {  # published -> ours
    **{f"feature_bone.block{i}.": f"backbone.stages.{i}." for i in range(5)},
    **{f"feature_bone.patch_embed{i + 1}.": f"backbone.embeds.{i}." for i in range(4)},
    "block.": "heads.",
    "local_block.": "local_blocks.",
    "unet.": "unet.",
}
INFIXES = {".self_attention.": ".mixer.", ".conv_blk.cab.": ".cab."}
DROPPED = ("attn_mask", "HW")
"""Buffers of the training code, which the published loader leaves out as well."""

PUBLISHED = {
    size: ModelSpec(name=size, config=config, channel_order="bgr", arbitrary_time=False)
    for size, config in (("vfimamba-s", VFIMAMBA_S), ("vfimamba", VFIMAMBA))
}
"""The two published networks by size."""

DAMAGED = (  # what torch.load raises on bytes that are no pickle of tensors, or only part of one
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
    SafetensorError,  # it reads `.safetensors` too
)


def convert_file(
    source: Path, target: Path, *, spec: ModelSpec | None = None, name: str = ""
) -> None:
    """Write the published .pkl `source` as the checkpoint `target`.

    Args:
        spec: what the weights must fit; without one it is read off them,
        name: and called this.

    Raises:
        CheckpointError: as `convert_official`, or weights that do not fit.
        OutputError: `target` cannot be written.
    """
    weights = convert_official(source)
    spec = spec or infer_spec(weights, name=name or source.stem, origin=str(source))
    with torch.device("meta"):  # shapes only
        network = spec.build()
    store.check_weights(network, weights, origin=str(source))
    store.save_checkpoint(
        target, spec, weights, source=source.name, source_sha256=store.sha256(source)
    )


def convert_official(path: Path) -> dict[str, Tensor]:
    """Read a published .pkl; the parameters under our names.

    Raises:
        CheckpointError: no such file, damaged, holding anything but tensors, or unknown names.
    """
    return our_names(_read_pickle(path), origin=str(path))


def our_names(weights: Mapping[str, Tensor], *, origin: str) -> dict[str, Tensor]:
    """Rename published parameters.

    Raises:
        CheckpointError: naming the first few that no published network has.
    """
    kept = {
        name.removeprefix("module."): tensor
        for name, tensor in weights.items()
        if not any(part in name for part in DROPPED)
    }
    unknown = sorted(name for name in kept if not name.startswith(tuple(PREFIXES)))
    if unknown or not kept:
        found = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        raise CheckpointError(
            f"Not the weights of a published VFIMamba: "
            f"{f'{len(unknown)} unknown ({found})' if unknown else 'no weights in it'}: {origin}",
            hint="Published files are ckpt/VFIMamba_S.pkl and ckpt/VFIMamba.pkl of "
            "MCG-NJU/VFIMamba_ckpts",
        )
    return {_renamed(name): tensor for name, tensor in kept.items()}


def _renamed(name: str) -> str:
    for old, new in PREFIXES.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
            break
    for old, new in INFIXES.items():
        name = name.replace(old, new)
    return name


def infer_spec(weights: Mapping[str, Tensor], *, name: str, origin: str) -> ModelSpec:
    """The spec of published weights under our names, its size read off the tensors.

    What the tensors cannot say is that of the published training: BGR, and t = 0.5 only.

    Raises:
        CheckpointError: the tensors are of no VFIMamba.
    """
    try:
        config = ModelConfig(
            width=weights["backbone.stages.0.conv.0.weight"].shape[0],
            depths=tuple(_count(weights, rf"backbone\.stages\.{i}\.") for i in range(5)),
            state=weights["backbone.stages.4.blocks.0.mixer.A_logs"].shape[1],
            local_blocks=_count(weights, r"local_blocks\."),
        )
    except (LookupError, ValueError) as error:
        raise CheckpointError(
            f"Cannot tell the size of the network ({error}): {origin}",
            hint="Is this a VFIMamba checkpoint, and all of it?",
        ) from error
    return ModelSpec(name=name, config=config, channel_order="bgr", arbitrary_time=False)


def _count(weights: Mapping[str, Tensor], part: str) -> int:
    """How many numbered children `part` has; a convolution and its PReLU count once."""
    pattern = re.compile(rf"{part}(?:(conv)\.|blocks\.)?(\d+)\.")
    found = [match for name in weights if (match := pattern.match(name))]
    children = {match[2] for match in found}
    return len(children) // 2 if found and found[0][1] else len(children)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():  # a strange pickle ends in an error, not in a warning
            warnings.simplefilter("ignore")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(
            f"No such file: {path}",
            hint="Name a published .pkl; `vfimamba weights pull vfimamba-s-official` fetches and "
            "converts one by itself",
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"Cannot read the pickle: {error.strerror or error}: {path}",
            hint="Name a published .pkl that you may read",
        ) from error
    except DAMAGED as error:
        raise _unreadable(path, error) from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(
            f"The pickle holds something other than named tensors: {path}",
            hint="Published files hold a plain dict of tensors",
        )
    return {
        name: value.clone(memory_format=torch.contiguous_format) for name, value in content.items()
    }


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if code := re.search(r"GLOBAL (\S+)", str(error)):
        return CheckpointError(
            f"The pickle asks for code ({code[1]}), which was not run: {path}",
            hint="Do not trust this file; take the published one: "
            "`vfimamba weights pull vfimamba-s-official`",
        )
    wordy = isinstance(error, pickle.UnpicklingError) or not str(error)
    reason = type(error).__name__ if wordy else str(error).split("\n")[0].split(". ")[0]
    return CheckpointError(
        f"Not a PyTorch pickle of tensors, or a damaged or cut off one "
        f"({path.stat().st_size} bytes; {reason}): {path}",
        hint="Fetch or copy the file again",
    )
