"""A video file in, a smoother one out: reader, timeline, engine, writer."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

from tqdm import tqdm

from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.engine.warm_up import warming_up
from vfimamba_cli.frame import Frame
from vfimamba_cli.pipeline.describe import encoding
from vfimamba_cli.pipeline.frames import FrameMaker
from vfimamba_cli.pipeline.job import prepare
from vfimamba_cli.pipeline.options import EngineOptions, PictureOptions, TimeOptions
from vfimamba_cli.pipeline.plan import Plan
from vfimamba_cli.pipeline.report import Report, Watch
from vfimamba_cli.video.cutlist import write_cuts
from vfimamba_cli.video.cuts import changes
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.prefetch import prefetch, write_behind
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.repeats import Shown, singly

AHEAD = 4
"""Frames decoded ahead of the engine, and made ahead of the encoder."""


def interpolate_video(
    source: str | Path,
    output: str | Path | None = None,
    *,
    time: TimeOptions = TimeOptions(),
    pictures: PictureOptions = PictureOptions(),
    engine: EngineOptions = EngineOptions(),
    writing: WriteOptions = WriteOptions(),
    announce: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> Report:
    """Write `source` with more frames to `output`.

    The duration, the times of the source's own frames, the sound, the pixel format and the
    color tags stay as they are. Across a scene cut and after the last frame nothing is made up:
    the frame before is held.

    Args:
        source: video to read.
        output: video to write, its kind by its extension; `default_output` if none.
        time: which frames are made.
        pictures: how the source's are taken.
        engine: what makes them.
        writing: how they are written.
        announce: called with one line per thing that was decided.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        VfimambaError: one of its children, naming what is wrong and what to do. Nothing is left
            under the name of `output` then, unless it was there before.
    """
    source, target = Path(source), Path(output) if output else None
    with prepare(source, target, time=time, pictures=pictures, writing=writing) as job:
        with warming_up(engine.device):
            interpolator = Interpolator(
                load_model(engine.model),
                device=engine.device,
                scan=engine.scan,
                flow_scale=engine.flow_scale,
                tile=engine.tile,
                announce=announce,
            )
        timing = job.plan.timing
        maker = FrameMaker(
            interpolator, job.plan.timeline, job.writer.color, cut=pictures.cut, mask=job.mask
        )
        with job.writer as writer:
            for line in chain(choices(interpolator, job.info), (encoding(writer),), writer.notes):
                announce(line)
            with tqdm(
                total=timing.frame_count, unit="frame", disable=None if progress else True
            ) as bar:
                watch = pump(job.reader.frames(), job.look, maker, writer.write, bar.update)
        if pictures.write_cuts is not None:
            write_cuts(pictures.write_cuts, job.cuts)
        report = watch.report(
            maker,
            job.info,
            timing.rate,
            output=writer.path,
            cuts=job.cuts,
            listed=None if job.listed is None else len(job.listed.seconds),
        )
        announce(report.cut_times())
        return report


def discard_frames(
    source: str | Path,
    engine: Interpolator,
    *,
    factor: int = 2,
    limit: int | None = None,
    count: Callable[[], object] = lambda: None,
) -> Report:
    """Make the frames that `interpolate_video` would write, and write none of them.

    Args:
        source: video to read.
        engine: what makes them.
        factor: times as many frames.
        limit: read no more frames than these.
        count: called after each frame.

    Raises:
        VfimambaError: as `interpolate_video` does for the source.
    """
    with VideoReader(source) as reader:
        plan = Plan.of(reader.info, TimeOptions(factor=factor))
        maker = FrameMaker(engine, plan.timeline)
        source_frames = islice(reader.frames(), limit)
        watch = pump(source_frames, look_singly, maker, lambda _: None, count)
        return watch.report(maker, reader.info, plan.timing.rate)


def look_singly(frames: Iterable[Frame]) -> Iterator[Shown]:
    """Every frame for itself, and the cuts that are found."""
    return singly(changes(frames))


def pump(
    source: Iterable[Frame],
    look: Callable[[Iterable[Frame]], Iterable[Shown]],
    maker: FrameMaker,
    write: Callable[[Frame], None],
    count: Callable[[], object],
) -> Watch:
    """All frames from `source` through the maker to `write`, all of it at the same time.

    Decoding, looking for cuts, and writing have a thread each. The engine's is this one; on CUDA
    it hardly computes, and the device works on several pairs ahead of what is given to `write`.
    """
    watch = Watch()
    with (
        write_behind(write, depth=AHEAD) as put,
        closing(prefetch(source, depth=AHEAD)) as decoded,
        closing(prefetch(look(decoded), depth=AHEAD)) as looked_at,
    ):
        for frame in maker.frames(watch.timed(looked_at, "decode")):
            with watch.waiting("encode"):
                put(frame)
            count()
        watch.all_made()
    return watch


def choices(engine: Interpolator, info: VideoInfo) -> Iterator[str]:
    """What was decided without being asked, a line each."""
    options = engine.options_for(info.height, info.width)
    precision = str(engine.dtype).removeprefix("torch.")
    yield f"model: {engine.spec.name}, {precision} on {engine.device}, scan {engine.backend.name}"
    yield f"motion: found at {options.flow_scale:g} of {info.width}x{info.height}, {times(engine)}"


def times(engine: Interpolator) -> str:
    """How the engine comes to times between two frames."""
    if engine.schedule == "direct":
        return "times asked directly"
    return (
        f"times reached by halving, for {engine.spec.name} was trained at t = 0.5 only: "
        "k/2, k/4, k/8 exactly, others as the nearest of these"
    )
