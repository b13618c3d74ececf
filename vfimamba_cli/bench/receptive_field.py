"""Effective receptive fields: which pixels a deep feature depends on, in its frame and the other.

F = 2 frames, B samples, C channels, S x S pixels.

Source: Luo et al., Understanding the Effective Receptive Field (arXiv 1701.04128), as VFIMamba
(arXiv 2407.02315) compares S6 with convolution and local attention.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.bench.report import align
from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.data.datasets import SAMPLE
from vfimamba_cli.data.folder import sequence_clips
from vfimamba_cli.model.config import VFIMAMBA_S, Mixer
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.ops.scan import choose_backend
from vfimamba_cli.video.still import encode_png

MIXERS: tuple[Mixer, ...] = ("s6", "conv", "local_attention")
SIDE = 128
"""Of the samples, in pixels."""

SAMPLES = 3
"""Bundled clips: a scan's gradient takes seconds on a CPU."""

HELD = 0.5
"""The share of the gradient whose pixels are counted."""

FLOOR = 1e-4
"""Of the largest gradient, what is drawn black: colors are logarithmic."""

SCALE = 2
GAP, HEAD = 12, 44
"""In SVG pixels: between the pictures, and above them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRow:
    """One network.

    Attributes:
        model: its name, or the mixer where it is untrained.
        mixer: what carries information between the frames.
        trained: whether it has weights of its own.
        fields: gradient of the feature in the middle of frame 0 by the pixels of each frame,
            (F, S, S), mean over samples, its sum 1.
    """

    model: str
    mixer: str
    trained: bool
    fields: NDArray[np.float64]

    @property
    def shares(self) -> tuple[float, float]:
        """Of either frame's pixels, the share that makes up half of its gradient."""
        return share_of_pixels(self.fields[0]), share_of_pixels(self.fields[1])

    @property
    def other_frame(self) -> float:
        """How much of the gradient lies in the other frame."""
        return float(self.fields[1].sum())

    @property
    def title(self) -> str:
        """For the figure."""
        return f"{self.model}, {'trained' if self.trained else 'untrained'}"

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        own, other = (f"{100 * share:.1f} %" for share in self.shares)
        trained = "yes" if self.trained else "no"
        return self.model, self.mixer, trained, own, other, f"{100 * self.other_frame:.1f} %"

    def to_dict(self) -> dict[str, Any]:
        """For the JSON document."""
        return {
            "model": self.model,
            "mixer": self.mixer,
            "trained": self.trained,
            "own_share": self.shares[0],
            "other_share": self.shares[1],
            "other_frame": self.other_frame,
        }


HEADS = ("model", "mixer", "trained", "own frame", "other frame", "gradient in the other")


def table(rows: Sequence[FieldRow]) -> str:
    """One line per network, under a head."""
    lines = [HEADS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(align(lines, widths))


def measure_fields(models: Sequence[str], *, device: torch.device) -> Iterator[FieldRow]:
    """The small network with each mixer as training starts, then `models` as they are.

    Raises:
        CheckpointError: a model cannot be had.
    """
    samples = sample_frames(device)
    for mixer in MIXERS:
        config = replace(VFIMAMBA_S, mixer=mixer)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            network = ModelSpec(name=mixer, config=config).build()
        fields = receptive_field(network.to(device), samples)
        yield FieldRow(model=mixer, mixer=mixer, trained=False, fields=fields)
    for name in models:
        network = load_model(name)
        fields = receptive_field(network.to(device), samples)
        yield FieldRow(model=name, mixer=network.config.mixer, trained=True, fields=fields)


def sample_frames(device: torch.device) -> Tensor:
    """The middle of two frames of bundled clips: (F, B, 3, S, S) in [0, 1]."""
    squares = []
    for clip in islice(sequence_clips(SAMPLE), SAMPLES):
        pair = torch.from_numpy(np.stack([clip.read(0), clip.read(4)])).permute(0, 3, 1, 2)
        top, left = ((length - SIDE) // 2 for length in pair.shape[-2:])
        squares.append(pair[..., top : top + SIDE, left : left + SIDE])
    return torch.stack(squares, dim=1).to(device) / 255


def receptive_field(network: VFIMamba, frames: Tensor) -> NDArray[np.float64]:
    """Absolute gradient, by each pixel, of the deepest feature in the middle of frame 0.

    The feature's channels are added with random signs, as their plain sum is nearly constant
    after a norm.

    Args:
        network: on the device of the frames.
        frames: (F, B, 3, S, S) in [0, 1].

    Returns:
        (F, S, S), over samples and color channels, its sum 1.
    """
    network = network.eval().requires_grad_(False)
    sequences = not network.config.alternates
    network.use_scan(choose_backend("auto", frames.device, training=True, sequences=sequences))
    total = torch.zeros(2, *frames.shape[-2:], dtype=torch.float64)
    signs = torch.Generator().manual_seed(0)
    for sample in frames.unbind(1):
        pixels = sample[:, None].clone().requires_grad_()
        deepest = network.encode(pixels)[-1]  # (F, 1, C, h, w)
        channels, height, width = deepest.shape[-3:]
        sign = torch.randint(0, 2, (channels,), generator=signs).to(deepest) * 2 - 1
        (deepest[0, 0, :, height // 2, width // 2] * sign).sum().backward()
        assert pixels.grad is not None
        total += pixels.grad[:, 0].abs().sum(1).double().cpu()
    return (total / total.sum()).numpy()


def share_of_pixels(field: NDArray[np.float64]) -> float:
    """The smallest share of the pixels that holds half of the gradient; 0 where there is none."""
    ordered = np.sort(field, axis=None)[::-1]
    held = np.cumsum(ordered)
    return float(np.searchsorted(held, HELD * held[-1]) / field.size) if held[-1] > 0 else 0.0


def draw(rows: Sequence[FieldRow]) -> str:
    """An SVG document: a column per network, its own frame above the other one."""
    side = SCALE * SIDE
    width, height = len(rows) * (side + GAP) + GAP, HEAD + 2 * (side + GAP)
    body = []
    for i, row in enumerate(rows):
        x = GAP + i * (side + GAP)
        body.append(f'<text x="{x}" y="18">{escape(row.title)}</text>')
        body.append(f'<text x="{x}" y="36">own frame above, other below</text>')
        for frame, field in enumerate(row.fields):
            png = base64.b64encode(encode_png(colored(field, row.fields.max()))).decode("ascii")
            y = HEAD + frame * (side + GAP)
            body.append(
                f'<image x="{x}" y="{y}" width="{side}" height="{side}" '
                f'href="data:image/png;base64,{png}"/>'
            )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="14">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *body,
            "</svg>\n",
        )
    )


def colored(field: NDArray[np.float64], most: float) -> NDArray[np.uint8]:
    """From black over red and yellow to white, logarithmic, from FLOOR to 1 of `most`."""
    level = 1 - np.log(np.maximum(field / most, FLOOR)) / np.log(FLOOR)
    channels = np.clip(3 * level[..., None] - np.arange(3), 0, 1)
    return np.asarray((255 * channels).round(), dtype=np.uint8)
