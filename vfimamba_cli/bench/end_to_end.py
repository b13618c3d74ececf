"""How fast whole videos go through the pipeline, beside what its engine alone can do."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from vfimamba_cli.bench.footage import write_footage
from vfimamba_cli.bench.machine import resident_bytes
from vfimamba_cli.bench.report import align
from vfimamba_cli.bench.speed import WARM_UP, Defaults, frame_seconds
from vfimamba_cli.bench.texture import MovingTexture
from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.errors import OptionError
from vfimamba_cli.pipeline import discard_frames
from vfimamba_cli.pipeline.report import Report

ALONE_RUNS = 20

CUDA_DEFAULTS = Defaults(sizes=((1920, 1080),), runs=500)
CPU_DEFAULTS = Defaults(sizes=((640, 352),), runs=8)


def defaults(device: torch.device) -> Defaults:
    """For this kind of device; `runs` are frames of the video."""
    return CUDA_DEFAULTS if device.type == "cuda" else CPU_DEFAULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEndRow:
    """What one model did with one video, its frame rate doubled and all frames discarded.

    Attributes:
        model, dtype, scan: as they ran.
        width, height: of the video, in pixels.
        frames: of the video.
        alone_rate: made frames per second, one after the other, from frames on the device: the
            median of 20.
        made_rate: made frames per second of wall time, from opening the decoded video on.
        decode_share, encode_share: of the wall time, that the engine waited for these.
        limit: the stage that the others wait for.
        resident_bytes: memory of the process after a tenth of the frames, and at the end; None
            where the system does not tell.
    """

    model: str
    dtype: str
    scan: str
    width: int
    height: int
    frames: int
    alone_rate: float
    made_rate: float
    decode_share: float
    encode_share: float
    limit: str
    resident_bytes: tuple[int, int] | None

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        return (
            self.model,
            f"{self.width}x{self.height}",
            self.dtype,
            self.scan,
            f"{self.frames}",
            f"{self.alone_rate:.2f}/s",
            f"{self.made_rate:.2f}/s",
            f"{100 * self.made_rate / self.alone_rate:.1f} %",
            f"{100 * self.decode_share:.1f} %",
            f"{100 * self.encode_share:.1f} %",
            self.limit,
            memory(self.resident_bytes),
        )

    def to_dict(self) -> dict[str, Any]:
        """For the JSON document."""
        return asdict(self)


HEADS = (
    *("model", "size", "dtype", "scan", "frames", "alone", "in all", "share"),
    *("decode waits", "encode waits", "limit", "resident memory"),
)
WIDTHS = (11, 9, 8, 10, 6, 9, 9, 7, 12, 12, 6, 16)


def memory(resident_bytes: tuple[int, int] | None) -> str:
    """`512 -> 513 MiB`."""
    if resident_bytes is None:
        return "-"
    early, late = (count / 2**20 for count in resident_bytes)
    return f"{early:.0f} -> {late:.0f} MiB"


def line(cells: Sequence[str], models: Sequence[str]) -> str:
    """The table's head or a row of it, which can be shown before the others are known."""
    return next(iter(align([cells], (max(map(len, models)), *WIDTHS[1:]))))


def time_videos(
    models: Sequence[str],
    *,
    video: Path | None,
    sizes: Sequence[tuple[int, int]],
    frames: int | None,
    device: torch.device,
    flow_scale: float | Literal["auto"],
    tile: int,
    announce: Callable[[str], None],
) -> Iterator[EndToEndRow]:
    """Time each model on each video.

    Args:
        models: as `load_model` takes them.
        video: to time with; if none, some are made.
        sizes: (width, height)s of the videos that are made.
        frames: of a video that are read; all of it if none, which a made one must not have.
        device, flow_scale, tile, announce: as `Interpolator` takes them.

    Raises:
        OptionError: a size that H.264 does not have.
        VfimambaError: a model or the video cannot be had, or the model cannot run here.
    """
    if odd := [size for size in sizes if size[0] % 2 or size[1] % 2]:
        width, height = odd[0]
        raise OptionError(
            f"H.264 has even sizes only, not {width}x{height}", hint="Give even numbers"
        )
    networks = {name: load_model(name) for name in models}
    for size in sizes if video is None else (None,):
        with clip(video, size, frames) as path:
            for name, network in networks.items():
                engine = Interpolator(
                    network, device=device, flow_scale=flow_scale, tile=tile, announce=announce
                )
                yield time_video(path, engine, name, frames=frames)


@contextmanager
def clip(video: Path | None, size: tuple[int, int] | None, frames: int | None) -> Iterator[Path]:
    """`video`, or one of `size` that is gone after the block."""
    if video is not None:
        yield video
        return
    assert size is not None
    assert frames is not None
    with TemporaryDirectory(prefix="vfimamba-") as folder:
        path = Path(folder) / "footage.mp4"
        write_footage(path, width=size[0], height=size[1], frames=frames)
        yield path


def time_video(
    path: Path, engine: Interpolator, name: str, *, frames: int | None = None
) -> EndToEndRow:
    """Time one engine on one video, or its first `frames`; it is shown as `name`."""
    discard_frames(path, engine, limit=WARM_UP)
    held: list[int | None] = []
    report = discard_frames(path, engine, limit=frames, count=lambda: held.append(resident_bytes()))
    info, early, late = report.info, held[len(held) // 10], held[-1]
    return EndToEndRow(
        model=name,
        dtype=str(engine.dtype).removeprefix("torch."),
        scan=engine.backend.name,
        width=info.width,
        height=info.height,
        frames=report.frames["source"],
        alone_rate=alone(engine, info.height, info.width),
        made_rate=report.made_rate,
        decode_share=share(report, "decode"),
        encode_share=share(report, "encode"),
        limit=report.limit,
        resident_bytes=None if early is None or late is None else (early, late),
    )


def share(report: Report, cause: str) -> float:
    """Of the wall time that the engine waited for `cause`."""
    return report.waits[cause] / report.seconds


def alone(engine: Interpolator, height: int, width: int) -> float:
    """Frames per second that the engine makes when nothing else is to be done."""
    texture = MovingTexture(height, width, engine.device)
    seconds = [frame_seconds(engine, texture, i) for i in range(WARM_UP + ALONE_RUNS)]
    return 1 / median(seconds[WARM_UP:])
