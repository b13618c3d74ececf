"""Everything that is settled before the first frame: what is read, what is to come out, where."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import Frame
from vfimamba_cli.pipeline.options import PictureOptions, TimeOptions
from vfimamba_cli.pipeline.plan import Plan
from vfimamba_cli.video.containers import CONTAINERS
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.target import check_target
from vfimamba_cli.video.writer import VideoWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A video to be interpolated.

    Attributes:
        reader: open.
        plan: what is to come out.
        writer: knows how; nothing is written before it is entered.
    """

    reader: VideoReader
    plan: Plan
    writer: VideoWriter

    @property
    def info(self) -> VideoInfo:
        """Of the source, or the part of it that is read."""
        return self.reader.info

    def source_frames(self) -> Iterator[Frame]:
        """The source's, at their times in the output."""
        time_map = self.plan.timing.time_map
        for frame in self.reader.frames():
            yield frame.at(time_map(frame.pts_seconds), frame.duration_seconds * time_map.scale)


@contextmanager
def prepare(
    source: Path,
    output: Path | None,
    *,
    time: TimeOptions,
    pictures: PictureOptions,
    writing: WriteOptions,
) -> Iterator[Job]:
    """A job for the block; arguments as those of `interpolate_video`.

    Raises:
        VfimambaError: as `interpolate_video` does before the first frame.
    """
    with VideoReader(
        source,
        start_seconds=time.start_seconds,
        end_seconds=time.end_seconds,
        deinterlace=pictures.deinterlace,
    ) as reader:
        if reader.info.interlaced and not pictures.deinterlace:
            raise InputError(
                f"The video is interlaced, every picture is two of different times: {source}",
                hint="Pass --deinterlace to make whole pictures of them first",
            )
        plan = Plan.of(reader.info, time)
        target = output or default_output(source, plan.timing.rate)
        check_target(target, source, overwrite=writing.overwrite)
        writer = VideoWriter(target, info=reader.info, timing=plan.timing, options=writing)
        yield Job(reader=reader, plan=plan, writer=writer)


def default_output(source: Path, rate: Fraction) -> Path:
    """`clip.mp4` at a new rate of 48: `clip.48fps.mp4`, beside it.

    A container that is read but not written becomes Matroska, which holds nearly any stream.
    """
    suffix = source.suffix if source.suffix.lower() in CONTAINERS else ".mkv"
    return source.with_name(f"{source.stem}.{float(rate):.5g}fps{suffix}")
