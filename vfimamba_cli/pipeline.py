"""A video file in, a smoother one out: reader, timeline, engine, writer."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Literal

from torch import Tensor
from tqdm import tqdm

from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.engine.color import to_planes, to_rgb
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.errors import OptionError
from vfimamba_cli.frame import Frame, Plane
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.video.cuts import is_cut, is_static
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.prefetch import prefetch, write_behind
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.target import CONTAINERS
from vfimamba_cli.video.timeline import MultiplyRate, Slot
from vfimamba_cli.video.writer import VideoWriter

Planes = tuple[Plane, Plane, Plane]

AHEAD = 4
"""Frames decoded ahead of the engine, and made ahead of the encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done.

    Attributes:
        output: the file written.
        info: the source.
        factor: times as many frames, as carried out.
        frames: how many of each kind were written: source, made, held (after a cut or the last
            frame), static (between two identical frames).
        seconds: wall time of it all, without loading the model.
    """

    output: Path
    info: VideoInfo
    factor: int
    frames: Counter[str]
    seconds: float

    def summary(self) -> str:
        """One line for people."""
        source, rate = self.frames["source"], self.info.rate
        kinds = ", ".join(
            f"{self.frames[kind]} {kind}"
            for kind in ("made", "held", "static")
            if self.frames[kind]
        )
        return (
            f"{self.output}: {source} -> {self.frames.total()} frames ({kinds}), "
            f"{float(rate):.6g} -> {float(rate * self.factor):.6g} fps, "
            f"{self.seconds:.1f} s, {self.frames['made'] / self.seconds:.2f} made frames/s"
        )


def interpolate_video(
    source: str | Path,
    output: str | Path | None = None,
    *,
    factor: int = 2,
    model: str | Path = "vfimamba-s",
    device: str = "auto",
    scan: str = "auto",
    flow_scale: float | Literal["auto"] = "auto",
    overwrite: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> Report:
    """Write `source` with `factor` times as many frames to `output`.

    The duration, the times of the source's own frames, the sound, the pixel format and the
    color tags stay as they are. Across a scene cut and after the last frame nothing is made up:
    the frame before is held.

    Args:
        source: video to read.
        output: video to write, its kind by its extension; `default_output` if none.
        factor: 2 or more. For weights trained at t = 0.5 only, the nearest power of two.
        model: name, checkpoint path or Hub ID, as `load_model` takes it.
        device, scan, flow_scale: as `Interpolator` takes them.
        overwrite: replace `output` if it exists.
        announce: called with one line per thing that was decided.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        VfimambaError: one of its children, naming what is wrong and what to do. Nothing is left
            under the name of `output` then, unless it was there before.
    """
    if factor < 2:
        raise OptionError(f"The factor must be 2 or more, got {factor}", hint="Try --factor 2")
    with VideoReader(source) as reader:
        network = load_model(model)
        factor = reachable_factor(factor, network.spec, announce)
        timeline = MultiplyRate(factor)
        target = Path(output or default_output(Path(source), reader.info, factor))
        engine = Interpolator(network, device=device, scan=scan, flow_scale=flow_scale)
        maker = FrameMaker(engine, timeline)
        with VideoWriter(
            target,
            info=reader.info,
            time_base=timeline.time_base(reader.info.time_base),
            rate=timeline.rate(reader.info.rate),
            overwrite=overwrite,
        ) as writer:
            for line in chain(choices(engine, reader.info), encoding(writer), writer.notes):
                announce(line)
            started = time.monotonic()
            total = timeline.frame_count(reader.info.frame_count)
            with (
                tqdm(total=total, unit="frame", disable=None if progress else True) as bar,
                write_behind(writer.write, depth=AHEAD) as put,
            ):
                for frame in maker.frames(prefetch(reader.frames(), depth=AHEAD)):
                    put(frame)
                    bar.update()
        return Report(
            output=target,
            info=reader.info,
            factor=factor,
            frames=maker.count,
            seconds=time.monotonic() - started,
        )


class FrameMaker:
    """Turns the source's frames into the output's.

    Attributes:
        count: frames given out so far, by kind.
    """

    def __init__(self, engine: Interpolator, timeline: MultiplyRate) -> None:
        self.engine = engine
        self.timeline = timeline
        self.count: Counter[str] = Counter()
        self._rgb: tuple[Frame, Tensor] | None = None

    def frames(self, source: Iterable[Frame]) -> Iterator[Frame]:
        """All output frames, in order. The last source frame is held over its own duration."""
        last = None
        for first, second in pairwise(chain(source, (None,))):
            if second is None:
                last = first
            elif first is not None:
                yield from self.fill(first, second)
        if last is not None:
            yield from self.hold(last, self.timeline.slots(last.pts_seconds, last.end_seconds))

    def fill(self, first: Frame, second: Frame) -> Iterator[Frame]:
        """The frames shown from `first` on, until `second`."""
        slots = self.timeline.slots(first.pts_seconds, second.pts_seconds)
        if is_static(first, second):
            yield from self.hold(first, slots, kind="static")
        elif is_cut(first, second):
            yield from self.hold(first, slots)
        else:
            yield from self.hold(first, slots[:1])
            for planes, slot in zip(self.between(first, second, slots[1:]), slots[1:], strict=True):
                self.count["made"] += 1
                yield first.with_planes(planes, slot.pts_seconds, slot.duration_seconds)

    def hold(self, frame: Frame, slots: list[Slot], *, kind: str = "held") -> Iterator[Frame]:
        """`frame` itself in all `slots`, its planes untouched."""
        for i, slot in enumerate(slots):
            self.count["source" if i == 0 else kind] += 1
            yield frame.at(slot.pts_seconds, slot.duration_seconds)

    def between(self, first: Frame, second: Frame, slots: list[Slot]) -> Iterator[Planes]:
        """The planes of the frames to be made in `slots`."""
        a, b = self.rgb(first), self.rgb(second)
        made = self.engine.interpolate(a[None], b[None], [slot.t for slot in slots])
        return (to_planes(picture[0], first.color) for picture in made)

    def rgb(self, frame: Frame) -> Tensor:
        """The frame on the engine's device; a pair's second one is kept for the next pair."""
        if self._rgb is None or self._rgb[0] is not frame:
            self._rgb = frame, to_rgb(frame.planes, frame.color, self.engine.device)
        return self._rgb[1]


def reachable_factor(factor: int, spec: ModelSpec, announce: Callable[[str], None]) -> int:
    """`factor`, or the power of two nearest to it for weights that only know t = 0.5."""
    if spec.arbitrary_time or factor & (factor - 1) == 0:
        return factor
    halvings = round(math.log2(factor))
    nearest = 1 << halvings
    announce(
        f"factor: {nearest} instead of {factor}: {spec.name} was trained at t = 0.5 only, "
        f"which reaches powers of two by halving ({halvings} times here)"
    )
    return nearest


def default_output(source: Path, info: VideoInfo, factor: int) -> Path:
    """`clip.mp4` at 24 fps, doubled: `clip.48fps.mp4`, beside it.

    A container that is read but not written becomes Matroska, which holds nearly any stream.
    """
    suffix = source.suffix if source.suffix.lower() in CONTAINERS else ".mkv"
    return source.with_name(f"{source.stem}.{float(info.rate * factor):.5g}fps{suffix}")


def choices(engine: Interpolator, info: VideoInfo) -> Iterator[str]:
    """What was decided without being asked, a line each."""
    options = engine.options_for(info.height, info.width)
    precision = str(engine.dtype).removeprefix("torch.")
    yield f"model: {engine.spec.name}, {precision} on {engine.device}, scan {engine.backend.name}"
    yield (
        f"motion: found at {options.flow_scale:g} of {info.width}x{info.height}, "
        f"times {'asked directly' if engine.schedule == 'direct' else 'reached by halving'}"
    )
    if info.interlaced:
        yield "interlaced: two fields are taken for one picture; deinterlace the source first"


def encoding(writer: VideoWriter) -> Iterator[str]:
    """How the result is encoded."""
    yield f"video: {writer.encoder}, {writer.info.pixel_format}; other streams are copied"
