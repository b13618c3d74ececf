"""What a made frame costs by its size: parameters, multiply-adds, memory; S6 against attention."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch

from vfimamba_cli.bench.counting import Count
from vfimamba_cli.bench.plot import Line, Panel, draw
from vfimamba_cli.bench.report import align
from vfimamba_cli.checkpoint.load import HIDDEN, load_model
from vfimamba_cli.checkpoint.manifest import read_manifest
from vfimamba_cli.engine.interpolator import auto_flow_scale
from vfimamba_cli.engine.padding import Padding
from vfimamba_cli.engine.paths import PathOptions, predict
from vfimamba_cli.model.config import Mixer
from vfimamba_cli.model.registry import ModelSpec

SIZES = tuple((side, side) for side in (256, 512, 768, 1024))
"""The paper's, (width, height) in pixels."""

MIXERS: dict[Mixer, str] = {"s6": "S6", "full_attention": "full attention"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """One network at one size, batch 1, one frame half-way, fp32.

    Attributes:
        model, mixer: which network.
        width, height: of the frames, in pixels.
        flow_scale: size at which motion was found, as a share of the frames'.
        parameters: of the network.
        macs: multiply-adds of convolutions and matrix products.
        mixing_macs: of the scans (4 per order, channel, token and state) or the attention.
        memory_bytes, stored_bytes: working memory beside weights and frames, see `Count`.
    """

    model: str
    mixer: Mixer
    width: int
    height: int
    flow_scale: float
    parameters: int
    macs: int
    mixing_macs: int
    memory_bytes: int
    stored_bytes: int

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        return (
            self.model,
            MIXERS[self.mixer],
            f"{self.width}x{self.height}",
            f"{self.flow_scale:g}",
            f"{self.parameters / 1e6:.1f} M",
            f"{(self.macs + self.mixing_macs) / 1e9:.1f} GMAC",
            f"{self.mixing_macs / 1e9:.1f} GMAC",
            f"{self.memory_bytes / 2**30:.2f} GiB",
            f"{self.stored_bytes / 2**30:.2f} GiB",
        )

    def to_dict(self) -> dict[str, Any]:
        """For the JSON document."""
        return asdict(self)


HEADS = (
    *("model", "mixer", "size", "flow", "parameters", "multiply-adds", "of them mixing"),
    *("memory", "with states or scores stored"),
)


def table(rows: Sequence[CostRow]) -> str:
    """One line per row, under a head."""
    lines = [HEADS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(align(lines, widths))


def count_models(
    models: Sequence[str],
    *,
    sizes: Sequence[tuple[int, int]],
    flow_scale: float | Literal["auto"],
) -> Iterator[CostRow]:
    """Count each model as it is and with full attention, at each size; nothing is computed.

    Args:
        models: as `load_model` takes them; weights are needed of paths and Hub IDs only.
        sizes: (width, height) of the frames, in pixels.
        flow_scale: as `Interpolator` takes it.

    Raises:
        CheckpointError: a model cannot be had.
    """
    for name in models:
        spec = find_spec(name)
        for mixer in MIXERS:
            for width, height in sizes:
                scale = auto_flow_scale(height, width) if flow_scale == "auto" else flow_scale
                yield count(spec, name, mixer, width=width, height=height, flow_scale=scale)


def find_spec(name: str) -> ModelSpec:
    """What a model is, without its weights where it is known by name."""
    known = {**HIDDEN, **{entry.name: entry.spec for entry in read_manifest().values()}}
    return known[name] if name in known else load_model(name).spec


def count(
    spec: ModelSpec, name: str, mixer: Mixer, *, width: int, height: int, flow_scale: float
) -> CostRow:
    """Count one network at one size; it is shown as `name`."""
    with torch.device("meta"):
        network = replace(spec, config=replace(spec.config, mixer=mixer)).build().eval()
        padding = Padding.to_multiple(height, width, round(network.multiple_of / flow_scale))
        frames = torch.empty(2, 1, 3, *padding.padded(height, width))
    found = Count()
    options = PathOptions(flow_scale=flow_scale)
    found.run(network, lambda: list(predict(network, frames, [0.5], options)))
    return CostRow(
        model=name,
        mixer=mixer,
        width=width,
        height=height,
        flow_scale=flow_scale,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=found.macs,
        mixing_macs=found.mixing_macs,
        memory_bytes=found.peak,
        stored_bytes=found.stored_peak,
    )


def plot(rows: Sequence[CostRow]) -> str:
    """Multiply-adds and memory against the frame's size, as an SVG document."""
    names = list(dict.fromkeys((row.model, row.mixer) for row in rows))
    macs, memory = [], []
    for i, (model, mixer) in enumerate(names):
        own = [row for row in rows if (row.model, row.mixer) == (model, mixer)]
        x = [(row.width * row.height) ** 0.5 for row in own]
        label = f"{model}, {MIXERS[mixer]}"
        total = [(row.macs + row.mixing_macs) / 1e9 for row in own]
        macs.append(Line(label, i, list(zip(x, total, strict=True))))
        fused = [row.memory_bytes / 2**30 for row in own]
        memory.append(Line(label, i, list(zip(x, fused, strict=True))))
        stored = [row.stored_bytes / 2**30 for row in own]
        what = "states stored" if mixer == "s6" else "scores stored"
        memory.append(Line(f"{label}, {what}", i, list(zip(x, stored, strict=True)), dashed=True))
    side = "side of the frame, or root of its area (pixels)"
    return draw(
        (
            Panel("Multiply-adds of a made frame (GMAC)", side, macs),
            Panel("Working memory, fp32 (GiB)", side, memory),
        )
    )
