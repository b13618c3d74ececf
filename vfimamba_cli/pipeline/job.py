"""Everything that is settled before the first frame: what is read, what is to come out, where."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path

from vfimamba_cli.errors import InputError, OptionError
from vfimamba_cli.frame import Frame
from vfimamba_cli.pipeline.options import PictureOptions, TimeOptions
from vfimamba_cli.pipeline.plan import Plan
from vfimamba_cli.video.containers import AVI, CONTAINERS, PIPE
from vfimamba_cli.video.cutlist import CutList, read_cuts
from vfimamba_cli.video.cuts import Change, changes, known_changes
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.overlay import Mask
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.repeats import Shown, held, singly
from vfimamba_cli.video.sequence import is_series
from vfimamba_cli.video.spool import spooled
from vfimamba_cli.video.target import check_new, check_target
from vfimamba_cli.video.writer import VideoWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A video to be interpolated.

    Attributes:
        reader: open.
        plan: what is to come out.
        writer: knows how; nothing is written before it is entered.
        pictures: how the source's are taken.
        listed: the cuts, where they are known beforehand.
        mask: where made frames are as the source's.
        cuts: where there was one so far, in seconds after the first picture.
    """

    reader: VideoReader
    plan: Plan
    writer: VideoWriter
    pictures: PictureOptions
    listed: CutList | None
    mask: Mask | None
    cuts: list[Fraction] = field(default_factory=list)

    @property
    def info(self) -> VideoInfo:
        """Of the source, or the part of it that is read."""
        return self.reader.info

    def look(self, frames: Iterable[Frame]) -> Iterator[Shown]:
        """What the source shows, at its times in the output, and what happens in between."""
        changing = self._on_clock(self._noted(self._changes(frames)))
        limit = self.pictures.dedup
        return held(changing, limit=limit) if limit else singly(changing)

    def _changes(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Change]]:
        if self.pictures.cut == "off":
            listed = CutList(())
        elif self.listed is None:
            return changes(frames)
        else:
            listed = self.listed
        return known_changes(frames, listed, beginning=self.reader.beginning_seconds)

    def _noted(self, frames: Iterable[tuple[Frame, Change]]) -> Iterator[tuple[Frame, Change]]:
        for index, (frame, change) in enumerate(frames):
            if change == "cut" and index:
                self.cuts.append(frame.pts_seconds - self.reader.beginning_seconds)
            yield frame, change

    def _on_clock(self, frames: Iterable[tuple[Frame, Change]]) -> Iterator[tuple[Frame, Change]]:
        time_map = self.plan.timing.time_map
        for frame, change in frames:
            duration = frame.duration_seconds * time_map.scale
            yield frame.at(time_map(frame.pts_seconds), duration), change


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
    numbered = is_series(source)
    if output is None and (source == PIPE or numbered):
        raise OptionError(
            f"{'Standard input' if source == PIPE else source} gives the output no name",
            hint="Name it with --output",
        )
    with (
        spooled(source, time.input_rate) as file,
        VideoReader(
            file,
            start_seconds=time.start_seconds,
            end_seconds=time.end_seconds,
            deinterlace=pictures.deinterlace,
        ) as reader,
    ):
        if reader.info.interlaced and not pictures.deinterlace:
            raise InputError(
                f"The video is interlaced, every picture is two of different times: {source}",
                hint="Pass --deinterlace to make whole pictures of them first",
            )
        plan = Plan.of(reader.info, time, dedup=bool(pictures.dedup))
        target = output or default_output(source, plan.timing.rate)
        given = source if numbered else file
        check_target(target, given, overwrite=writing.overwrite, piped=writing.container)
        if pictures.write_cuts is not None:
            used = filter(None, (given, target, pictures.mask, pictures.cuts))
            check_new(pictures.write_cuts, overwrite=writing.overwrite, used=used)
        writer = VideoWriter(target, info=reader.info, timing=plan.timing, options=writing)
        if reader.info.count_exact and not pictures.dedup:  # else there may be other frames
            check_spans(reader, plan, writer)
        yield Job(
            reader=reader,
            plan=plan,
            writer=writer,
            pictures=pictures,
            listed=None if pictures.cuts is None else read_cuts(pictures.cuts),
            mask=None
            if pictures.mask is None
            else Mask.read(pictures.mask, height=reader.info.height, width=reader.info.width),
        )


def check_spans(reader: VideoReader, plan: Plan, writer: VideoWriter) -> None:
    """See that the container tells all frames from one another, if some follow that closely.

    Raises:
        OutputError: naming the first that it does not.
    """
    tick, shortest = writer.container.tick_seconds, reader.shortest_seconds()
    if tick is None or shortest is None:
        return
    parts = ceil(Fraction(plan.timing.frame_count, reader.info.frame_count))
    if shortest * plan.timing.time_map.scale / parts > tick:
        return
    timeline = plan.timeline
    *spans, (last, span) = enumerate(pairwise(map(plan.timing.time_map, reader.times())))
    slots = [slot for i, one in spans for slot in timeline.slots(i, *one)]
    slots += timeline.tail_slots(last, *span)
    starts = [slot.pts_seconds for slot in slots]
    for start, end in pairwise([*starts, timeline.end_seconds(last, *span)]):
        writer.check_span(start, end)


def default_output(source: Path, rate: Fraction) -> Path:
    """`clip.mp4` at a new rate of 48: `clip.48fps.mp4`, beside it.

    A container that is read but not written becomes Matroska, which holds nearly any stream; so
    does AVI, where much of what can be read is no use to write.
    """
    written = CONTAINERS.get(source.suffix.lower())
    suffix = ".mkv" if written in (None, AVI) else source.suffix
    return source.with_name(f"{source.stem}.{float(rate):.5g}fps{suffix}")
