"""How long a made frame takes, with how much memory, and which part of the network takes it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

import torch

from vfimamba_cli.bench.machine import Stopwatch, peak_bytes, replayed_seconds, reset_peak
from vfimamba_cli.bench.report import align
from vfimamba_cli.bench.texture import MovingTexture
from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.engine.interpolator import Interpolator

WARM_UP = 3
PART_RUNS = 3

PARTS = {
    "encode_shallow": "shallow",
    "encode_deep": "deep",
    "estimate_motion": "motion",
    "refine_motion": "refine",
    "synthesize": "synthesis",
}
"""The network's calls that are timed on their own -> heads of their columns."""

DTYPES = {
    "auto": None,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What is measured where nothing else was asked for: (width, height)s, and runs of each."""

    sizes: tuple[tuple[int, int], ...]
    runs: int


CUDA_DEFAULTS = Defaults(sizes=((1280, 720), (1920, 1080), (3840, 2160)), runs=20)
CPU_DEFAULTS = Defaults(sizes=((640, 352),), runs=5)


def defaults(device: torch.device) -> Defaults:
    """For this kind of device."""
    return CUDA_DEFAULTS if device.type == "cuda" else CPU_DEFAULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow:
    """What one model took for one frame.

    Attributes:
        model, dtype, scan: as they ran.
        width, height: of the frames, in pixels.
        flow_scale: size at which motion was found, as a share of the frames'.
        tile: side of the tiles in pixels; None where the frame was made at once.
        seconds: of each counted run.
        peak_bytes: most memory in use, as `machine.peak_bytes` tells it.
        shares: part -> its share of the time of a pass with a wait after each; "other" is the rest.
    """

    model: str
    dtype: str
    scan: str
    width: int
    height: int
    flow_scale: float
    tile: int | None
    seconds: tuple[float, ...]
    peak_bytes: int | None
    shares: dict[str, float]

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        low, middle, high = (1000 * f(self.seconds) for f in (min, median, max))
        return (
            self.model,
            f"{self.width}x{self.height}",
            self.dtype,
            self.scan,
            f"{self.flow_scale:g}",
            "none" if self.tile is None else f"{self.tile} px",
            f"{middle:.2f} ms",
            f"{low:.2f}-{high:.2f} ms",
            "-" if self.peak_bytes is None else f"{self.peak_bytes / 2**30:.2f} GiB",
            *(f"{100 * share:.0f} %" for share in self.shares.values()),
        )

    def to_dict(self) -> dict[str, Any]:
        """For the JSON document."""
        return {**asdict(self), "median_seconds": median(self.seconds)}


HEADS = (
    *("model", "size", "dtype", "scan", "flow", "tile", "median", "min-max", "peak"),
    *(*PARTS.values(), "other"),
)
WIDTHS = (11, 9, 8, 10, 4, 7, 10, 20, 9, *(9 for _ in HEADS[9:]))


def line(cells: Sequence[str], models: Sequence[str]) -> str:
    """The table's head or a row of it, which can be shown before the others are known."""
    widths = (max(map(len, models)), *WIDTHS[1:])
    return next(iter(align([cells], widths)))


def time_models(
    models: Sequence[str],
    *,
    sizes: Sequence[tuple[int, int]],
    dtypes: Sequence[str],
    device: torch.device,
    flow_scale: float | Literal["auto"],
    tile: int,
    runs: int,
    announce: Callable[[str], None],
) -> Iterator[SpeedRow]:
    """Time the frame half-way between two, for each model, each dtype, each size.

    Args:
        models: as `load_model` takes them.
        sizes: (width, height) of the frames, in pixels.
        dtypes: of `DTYPES`.
        device, flow_scale, tile, announce: as `Interpolator` takes them.
        runs: to count, after three to warm up, each on another pair of frames.

    Raises:
        CheckpointError, DeviceError: a model cannot be had, or cannot run here.
    """
    for name in models:
        network = load_model(name)
        for dtype in dtypes:
            for width, height in sizes:
                reset_peak(device)
                engine = Interpolator(
                    network,
                    device=device,
                    dtype=DTYPES[dtype],
                    flow_scale=flow_scale,
                    tile=tile,
                    announce=announce,
                )
                yield time_engine(engine, name, width=width, height=height, runs=runs)
                del engine  # with its memory, which the next must not be charged for


def time_engine(engine: Interpolator, name: str, *, width: int, height: int, runs: int) -> SpeedRow:
    """Time one engine at one size; it is shown as `name`."""
    texture = MovingTexture(height, width, engine.device)
    for number in range(WARM_UP):
        frame_seconds(engine, texture, number)
    seconds = tuple(frame_seconds(engine, texture, WARM_UP + i) for i in range(runs))
    return SpeedRow(
        model=name,
        dtype=str(engine.dtype).removeprefix("torch."),
        scan=engine.backend.name,
        width=width,
        height=height,
        flow_scale=engine.options_for(height, width).flow_scale,
        tile=engine.tiles.announced,
        seconds=seconds,
        peak_bytes=peak_bytes(engine.device),
        shares=time_parts(engine, texture, median(seconds)),
    )


def time_parts(engine: Interpolator, texture: MovingTexture, whole: float) -> dict[str, float]:
    """The share of each part, over a few passes of their own: the waits make them slower.

    Parts of a recorded frame are recorded one by one, and shares are those of its `whole` seconds.
    """
    kept, engine.graphs = engine.graphs, None
    recorded = kept is not None
    passes = 1 if recorded else PART_RUNS
    try:
        with timed_calls(engine.model, engine.device, recorded=recorded) as spent:
            total = sum(frame_seconds(engine, texture, number) for number in range(passes))
    finally:
        engine.graphs = kept
    total = whole if recorded else total
    shares = {part: sum(seconds) / total for part, seconds in spent.items()}
    return {**shares, "other": 1 - sum(shares.values())}


@contextmanager
def timed_calls(
    model: Any, device: torch.device, *, recorded: bool = False
) -> Iterator[dict[str, list[float]]]:
    """Inside the block, every call of a part of `model` adds its seconds to the part's list.

    `recorded` calls are repeated as CUDA graphs, and timed so.
    """
    spent: dict[str, list[float]] = {part: [] for part in PARTS}

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def work(*args: Any, **kwargs: Any) -> Any:
            with Stopwatch(device) as watch:
                result = call(*args, **kwargs)
            again = (lambda: call(*args, **kwargs)) if recorded else None
            spent[part].append(
                watch.seconds if again is None else replayed_seconds(again, device, PART_RUNS)
            )
            return result

        return work

    own = {part: call for part, call in vars(model).items() if part in PARTS}
    for part in PARTS:
        setattr(model, part, timed(part, getattr(model, part)))
    try:
        yield spent
    finally:
        for part in PARTS:
            delattr(model, part)  # its class's method shows again
        vars(model).update(own)


def frame_seconds(engine: Interpolator, texture: MovingTexture, number: int) -> float:
    """Time the frame half-way between the texture's pair of that number."""
    first, second = texture.pair(number)
    with Stopwatch(engine.device) as watch:
        engine.interpolate(first, second, [0.5])
    return watch.seconds
