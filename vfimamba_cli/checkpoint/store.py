"""Checkpoints: safetensors whose header says which network the weights belong to."""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from vfimamba_cli.errors import CheckpointError, OutputError
from vfimamba_cli.model.registry import ModelSpec

FORMAT = 1
HEADER_KEY = "vfimamba"
"""The one entry of safetensors' `__metadata__`; one, so that equal content gives equal bytes."""

CONVERT_HINT = (
    "Is this a published .pkl? Convert it first: "
    "`vfimamba weights convert IN.pkl OUT.safetensors --model vfimamba-s`"
)
FETCH_HINT = "Fetch or copy the file again; `vfimamba weights list` shows the models at hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What one file holds.

    Attributes:
        spec: the network the weights belong to.
        weights: parameter name -> tensor on the CPU, in the dtype they are stored in.
        facts: whatever the writer noted (recipe, step, origin), plain JSON values.
    """

    spec: ModelSpec
    weights: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(
    path: Path, spec: ModelSpec, weights: Mapping[str, Tensor], **facts: Any
) -> None:
    """Write `weights`, in the dtype they have, with their spec and `facts` in the header.

    The file appears under its name complete and on disk, or not at all. The same arguments give
    the same bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    header = {"format": FORMAT, "spec": spec.to_dict(), "facts": facts}
    data = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()},
        metadata={HEADER_KEY: json.dumps(header, sort_keys=True)},
    )
    write_atomically(path, data)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to a neighbor of `path`, force it to disk, then rename it.

    Raises:
        OutputError: one of the three failed; the neighbor is removed.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise OutputError(
            f"Cannot write: {error.strerror}: {path}",
            hint=f"{len(data) / 1e6:.0f} MB are needed there" if full else "Name another folder",
        ) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file written by `save_checkpoint`.

    Raises:
        CheckpointError: no such file, not a checkpoint of ours, damaged, or of a newer format.
    """
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            header = (file.metadata() or {}).get(HEADER_KEY)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise _unreadable(path, error) from error
    except FileNotFoundError:
        raise CheckpointError(
            f"No such file: {path}", hint="`vfimamba weights list` shows the models at hand"
        ) from None
    except OSError as error:
        reason = "it is a folder" if path.is_dir() else error.strerror or error
        raise CheckpointError(
            f"Cannot read the checkpoint: {reason}: {path}",
            hint="Name a .safetensors file that you may read",
        ) from error
    if header is None:
        raise CheckpointError(
            f"Holds tensors but no description of their network: {path}",
            hint="Only files written by vfimamba can be loaded; a published .pkl is converted "
            "with `vfimamba weights convert`",
        )
    spec, facts = _parse_header(header, path)
    return Checkpoint(spec=spec, weights=weights, facts=facts)


def _parse_header(header: str, path: Path) -> tuple[ModelSpec, dict[str, Any]]:
    try:
        values = json.loads(header)
        version = values["format"]
        if isinstance(version, int) and version > FORMAT:
            raise CheckpointError(
                f"Checkpoint format {version} is newer than the newest this version reads "
                f"({FORMAT}): {path}",
                hint="Update your clone and install it again from there: "
                "`pip install --force-reinstall .`",
            )
        return ModelSpec.from_dict(values["spec"]), dict(values["facts"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint's description of its network is damaged ({error!r}): {path}",
            hint=FETCH_HINT,
        ) from error


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    """Which kind of wrong file this is: cut off, a pickle, or something else altogether."""
    with path.open("rb") as file:
        start = file.read(16)
    size = path.stat().st_size
    if not start:
        return CheckpointError(f"The checkpoint is empty: {path}", hint=FETCH_HINT)
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return CheckpointError(
            f"This is a PyTorch pickle, not a safetensors checkpoint: {path}", hint=CONVERT_HINT
        )
    if start[8:9] == b"{":  # 8 bytes of header length, then the header's JSON
        return CheckpointError(
            f"The checkpoint is damaged or cut off ({size} bytes, {error}): {path}",
            hint=FETCH_HINT,
        )
    return CheckpointError(f"Not a safetensors checkpoint: {path}", hint=CONVERT_HINT)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: str) -> None:
    """Copy `weights` into `model`; every parameter must be present, known and of its shape.

    Stored fp16 values become fp32 exactly. A model on `meta` is on the weights' device then.

    Raises:
        CheckpointError: naming the first few keys that do not fit, and what kind of misfit.
    """
    check_weights(model, weights, origin=origin)
    exact = {name: weight.float() for name, weight in weights.items()}
    model.load_state_dict(exact, assign=next(model.parameters()).is_meta)


def check_weights(model: nn.Module, weights: Mapping[str, Tensor], *, origin: str) -> None:
    """Refuse `weights` that are not exactly the parameters of `model`, which may be on `meta`.

    Raises:
        CheckpointError: as `load_weights`.
    """
    own = model.state_dict()
    common = own.keys() & weights.keys()
    misfits = {
        "missing": sorted(own.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - own.keys()),
        "wrong shape": sorted(k for k in common if own[k].shape != weights[k].shape),
    }
    if any(misfits.values()):
        found = "; ".join(
            f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for kind, keys in misfits.items()
            if keys
        )
        raise CheckpointError(f"Weights do not fit the model: {found}: {origin}", hint=CONVERT_HINT)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
