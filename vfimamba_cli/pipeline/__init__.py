"""A video file in, a smoother one out: reader, timeline, engine, writer."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.errors import OptionError
from vfimamba_cli.frame import Frame
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.pipeline.frames import FrameMaker
from vfimamba_cli.pipeline.report import Report, Watch
from vfimamba_cli.video.cuts import changes
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.prefetch import prefetch, write_behind
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.target import CONTAINERS, check_target
from vfimamba_cli.video.timeline import MultiplyRate
from vfimamba_cli.video.writer import VideoWriter

AHEAD = 4
"""Frames decoded ahead of the engine, and made ahead of the encoder."""


def interpolate_video(
    source: str | Path,
    output: str | Path | None = None,
    *,
    factor: int = 2,
    model: str | Path = "vfimamba-s",
    device: str = "auto",
    scan: str = "auto",
    flow_scale: float | Literal["auto"] = "auto",
    tile: int = 0,
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
        device, scan, flow_scale, tile: as `Interpolator` takes them.
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
        if output is not None:  # before any work, and any download
            check_target(Path(output), Path(source), overwrite=overwrite)
        network = load_model(model)
        factor = reachable_factor(factor, network.spec, announce)
        timeline = MultiplyRate(factor)
        target = Path(output or default_output(Path(source), reader.info, factor))
        engine = Interpolator(
            network,
            device=device,
            scan=scan,
            flow_scale=flow_scale,
            tile=tile,
            announce=announce,
        )
        with VideoWriter(
            target,
            info=reader.info,
            time_base=timeline.time_base(reader.info.time_base),
            rate=timeline.rate(reader.info.rate),
            overwrite=overwrite,
        ) as writer:
            maker = FrameMaker(engine, timeline, writer.color)
            for line in chain(choices(engine, reader.info), encoding(writer), writer.notes):
                announce(line)
            total = timeline.frame_count(reader.info.frame_count)
            with tqdm(total=total, unit="frame", disable=None if progress else True) as bar:
                watch = pump(reader.frames(), maker, writer.write, bar.update)
        return watch.report(maker, reader.info, output=target)


def discard_frames(
    source: str | Path, engine: Interpolator, *, factor: int = 2, limit: int | None = None
) -> Report:
    """Make the frames that `interpolate_video` would write, and write none of them.

    Args:
        source: video to read.
        engine: what makes them.
        factor: times as many frames.
        limit: read no more frames than these.

    Raises:
        VfimambaError: as `interpolate_video` does for the source.
    """
    with VideoReader(source) as reader:
        maker = FrameMaker(engine, MultiplyRate(factor))
        watch = pump(islice(reader.frames(), limit), maker, lambda _: None, lambda: None)
        return watch.report(maker, reader.info)


def pump(
    source: Iterable[Frame],
    maker: FrameMaker,
    write: Callable[[Frame], None],
    count: Callable[[], object],
) -> Watch:
    """All frames from `source` through the maker to `write`, all of it at the same time.

    Decoding, looking for cuts, and writing have a thread each. The engine's is this one; on CUDA
    it hardly computes, and the device works on several pairs ahead of what is given to `write`.
    """
    watch = Watch()
    with write_behind(write, depth=AHEAD) as put:
        looked_at = prefetch(changes(prefetch(source, depth=AHEAD)), depth=AHEAD)
        for frame in maker.frames(watch.timed(looked_at, "decode")):
            with watch.waiting("encode"):
                put(frame)
            count()
        watch.all_made()
    return watch


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
    found, made = writer.info.pixel_format, writer.pixel_format
    change = made if writer.color == writer.info.color else f"{made} from {found}, all frames alike"
    yield f"video: {writer.encoder}, {change}; other streams are copied"
