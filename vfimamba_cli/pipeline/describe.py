"""For people: what a video is, and what will become of it."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vfimamba_cli.errors import InputError, VfimambaError
from vfimamba_cli.frame import UNSPECIFIED, ColorSpec
from vfimamba_cli.pipeline.job import Job, prepare
from vfimamba_cli.pipeline.options import PictureOptions, TimeOptions
from vfimamba_cli.video.containers import PIPE
from vfimamba_cli.video.info import StreamInfo, VideoInfo
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.sequence import is_series
from vfimamba_cli.video.spool import spooled
from vfimamba_cli.video.streams import StreamPlan
from vfimamba_cli.video.writer import VideoWriter

BECOMES = {
    "interpolate": "interpolated",
    "copy": "copied",
    "encode": "converted",
    "attach": "attached",
    "drop": "dropped",
}


def describe_plan(
    source: str | Path,
    output: str | Path | None = None,
    *,
    time: TimeOptions = TimeOptions(),
    pictures: PictureOptions = PictureOptions(),
    writing: WriteOptions = WriteOptions(),
) -> list[str]:
    """What `interpolate_video` would do, a line each, without doing it or loading a model.

    Raises:
        VfimambaError: as `interpolate_video` would before the first frame.
    """
    target = Path(output) if output else None
    with prepare(Path(source), target, time=time, pictures=pictures, writing=writing) as job:
        return list(plan_lines(job))


def describe_video(source: str | Path) -> list[str]:
    """What is seen of a video, and what would become of it if nothing were said, a line each.

    Raises:
        InputError: if it is no video that can be read.
    """
    if Path(source) == PIPE:
        raise InputError(
            "Standard input can be read only once, and is not looked at",
            hint="Give a file, or see what `vfimamba interpolate - -o OUT --dry-run` would do",
        )
    source = Path(source)
    with spooled(source) as file, VideoReader(file) as reader:
        assumed = reader.info.rate_assumed or is_series(source)
        lines = list(info_lines(replace(reader.info, path=source, rate_assumed=assumed)))
        pictures = PictureOptions(deinterlace=reader.info.interlaced)
    try:
        plan = describe_plan(source, pictures=pictures, writing=WriteOptions(overwrite=True))
    except VfimambaError as error:
        plan = [f"not as it is: {error}", *([f"hint: {error.hint}"] if error.hint else [])]
    return [*lines, "", "interpolate" + " --deinterlace" * pictures.deinterlace + ":", *plan]


def info_lines(info: VideoInfo) -> Iterator[str]:
    """What is known of a video, a line each."""
    yield f"{info.path}: {info.container}"
    yield (
        f"time: {seconds(info.duration_seconds)} from {seconds(info.start_seconds)}, "
        f"{count(info.frame_count, exact=info.count_exact)}, "
        f"{rate(info.rate, variable=info.variable_rate)}"
        + (" (assumed: the file holds no times)" if info.rate_assumed else "")
    )
    shape = info.sample_aspect_ratio
    yield (
        f"picture: {info.width}x{info.height}, {info.pixel_format}"
        + (f", pixels {shape.numerator}:{shape.denominator}" if shape and shape != 1 else "")
        + (f", rotated by {info.rotation} degrees" if info.rotation else "")
        + (", interlaced" if info.interlaced else "")
    )
    yield f"color: {color(info.color)}"
    if str(info.hdr) or info.side_data:
        yield f"beside the pictures: {', '.join(filter(None, (str(info.hdr), *info.side_data)))}"
    for stream in info.streams:
        yield f"stream {track(stream)}"


def plan_lines(job: Job) -> Iterator[str]:
    """What will come out, a line each."""
    info, timing, writer = job.info, job.plan.timing, job.writer
    yield f"output: {writer.path}, {writer.container.title}"
    yield (
        f"frames: {count(info.frame_count, exact=info.count_exact)} -> "
        f"{count(timing.frame_count, exact=timing.count_exact)}"
    )
    yield f"duration: {seconds(info.duration_seconds)} -> {seconds(timing.duration_seconds)}"
    yield (
        f"rate: {rate(info.rate, variable=info.variable_rate)} -> "
        f"{rate(timing.rate, variable=timing.variable_rate)}"
    )
    yield encoding(writer)
    for stream, plan in zip(info.streams, writer.stream_plans, strict=True):
        yield f"stream {track(stream)}: {becomes(plan)}"
    yield from writer.notes


def encoding(writer: VideoWriter) -> str:
    """How the result is encoded."""
    found, made = writer.info.pixel_format, writer.pixel_format
    change = made if writer.color == writer.info.color else f"{made} from {found}, all frames alike"
    return f"video: {writer.encoder}, {change}"


def becomes(plan: StreamPlan) -> str:
    """What is done to a stream."""
    return BECOMES[plan.action] + (f" by {plan.encoder}" if plan.encoder else "")


def track(stream: StreamInfo) -> str:
    """`1: audio, aac (eng)`."""
    language = f" ({stream.language})" if stream.language else ""
    return f"{stream.index}: {stream.kind}, {stream.codec}{language}"


def seconds(value: Fraction) -> str:
    """`12.345 s`."""
    return f"{float(value):.3f} s"


def count(frames: int, *, exact: bool) -> str:
    """`48 frames`."""
    return f"{'' if exact else 'about '}{frames} frames"


def rate(value: Fraction, *, variable: bool) -> str:
    """`24000/1001 (23.976) fps`."""
    number = str(value) if value.denominator in (1, 1001) else f"{float(value):.6g}"
    decimal = f" ({float(value):.6g})" if value.denominator == 1001 else ""
    return f"{number}{decimal} fps{', variable' if variable else ''}"


def color(spec: ColorSpec) -> str:
    """What the codes mean, and which of it the file leaves open."""
    tags = spec.tags
    assumed = ", ".join(
        name
        for name, open_ in (
            ("matrix", tags.matrix == UNSPECIFIED and spec.matrix != "rgb"),
            ("range", tags.range == 0),
        )
        if open_
    )
    return (
        f"{spec.matrix}, {'full' if spec.full_range else 'limited'} range, {spec.bit_depth} bits, "
        f"{':'.join(spec.subsampling)}"
        + (f", chroma {spec.chroma_location}" if spec.subsampling not in ("444", "400") else "")
        + (", alpha" if spec.alpha else "")
        + f"; primaries {tags.primaries}, transfer {tags.transfer} (ITU-T H.273)"
        + (f"; assumed: {assumed}" if assumed else "")
    )
