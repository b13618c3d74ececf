"""A video file as frames with exact times: decoded whole, or not at all."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, pairwise, takewhile
from pathlib import Path
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame

from vfimamba_cli.errors import InputError, OptionError
from vfimamba_cli.frame import Frame
from vfimamba_cli.video.completeness import cut_off
from vfimamba_cli.video.deinterlace import deinterlaced
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.pictures import Pictures, Timed
from vfimamba_cli.video.planes import read_planes
from vfimamba_cli.video.probe import (
    damage_is_an_input_error,
    describe,
    describe_part,
    open_input,
    pick_video_stream,
)
from vfimamba_cli.video.scan import Scan, scan_packets


class VideoReader:
    """Decodes one video stream of a file, in order, with exact times.

    Use it as a context manager; `info` is known inside. The whole file is read once, undecoded,
    before the first frame, so that a cut-off one is refused before any work is done on it.

    Args:
        path: of the file.
        start_seconds, end_seconds: after the first picture. Only what appears from the one on and
            before the other is decoded, and `info` describes that part.
        deinterlace: make whole pictures of those that consist of two fields.

    Raises:
        InputError: on entering, if there is no such file, it is no video, it is cut off, or its
            pictures are of an unsupported kind.
        OptionError: on entering, if there is nothing between start and end.
    """

    info: VideoInfo
    beginning_seconds: Fraction
    """When the first picture of the whole video appears, whatever part of it is read."""

    def __init__(
        self,
        path: str | Path,
        *,
        start_seconds: Fraction | int | None = None,
        end_seconds: Fraction | int | None = None,
        deinterlace: bool = False,
    ) -> None:
        self.path = Path(path)
        self._limits = start_seconds, end_seconds
        self._deinterlace = deinterlace

    def __enter__(self) -> Self:
        with open_input(self.path) as container, damage_is_an_input_error(self.path):
            scan = scan_packets(container, pick_video_stream(container, self.path), self.path)
        self._opened = Pictures(self.path, scan)
        try:
            pictures = self._opened.all()
            first = next(pictures, None)
            if first is None:
                raise InputError(f"Not one picture could be decoded: {self.path}")
            # Pictures before the first are none: they would refer to others before the file.
            self._part = scan.part(Fraction(first[0] - scan.start), None) or scan
            self.info = describe(
                self._opened.container, self._opened.stream, first[1], self._part, self.path
            )
            self.beginning_seconds = self.info.start_seconds
            self._pictures = self._choose_part(scan, chain((first,), pictures))
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def _choose_part(self, scan: Scan, pictures: Iterator[Timed]) -> Iterator[Timed]:
        """The pictures to be shown; sets what is expected of them."""
        start, end = (None if t is None else t / self.info.time_base for t in self._limits)
        if start is not None or end is not None:
            part = self._part.part(start, end) or self._nothing_there()
            if part.start > self._part.start:
                self._opened.close()
                since = max((t for t in scan.pts if t <= part.start), default=part.start)
                self._opened, pictures = Pictures.starting_at(self.path, scan, since)
                pictures = ((max(ticks, part.start), picture) for ticks, picture in pictures)
            pictures = takewhile(lambda picture: picture[0] < part.end, pictures)
            self._part, self.info = part, describe_part(self.info, part)
        return deinterlaced(pictures, self._opened.stream) if self._deinterlace else pictures

    def times(self) -> list[Fraction]:
        """When each frame appears, and when the last one ends, in seconds, as `frames` has them.

        Known before one is decoded; none where the file holds no times.
        """
        origin, time_base = self.info.origin_seconds, self.info.time_base
        return [ticks * time_base - origin for ticks in self._part.times]

    def shortest_seconds(self) -> Fraction | None:
        """How long the shortest frame lasts; None where the file holds no times."""
        gaps = (after - before for before, after in pairwise(self._part.times))
        shortest = min(gaps, default=None)
        return None if shortest is None else shortest * self.info.time_base

    def _nothing_there(self) -> Scan:
        start, end = self._limits
        raise OptionError(
            f"No frame lies between {float(start or 0):g} s and "
            f"{'the end' if end is None else f'{float(end):g} s'} of the "
            f"{float(self.info.duration_seconds):g} s of video: {self.path}",
            hint="--start and --end count seconds from the first picture on",
        )

    def frames(self) -> Iterator[Frame]:
        """All frames, strictly increasing in time. Can be walked once.

        A frame lasts until the next one appears; the last one as `Scan.last_duration` has it.

        Raises:
            InputError: where the file turns out to be damaged, or the pictures change their size
                or format on the way.
        """
        seen: list[int] = []
        current: VideoFrame | None = None
        for ticks, picture in self._pictures:
            if current is not None:
                yield self._frame(current, seen[-1], self._gap(seen, ticks))
            seen.append(ticks)
            current = picture
        self._check_all_there(seen, current)
        assert current is not None
        yield self._frame(current, seen[-1], self._part.end - seen[-1])

    def _gap(self, seen: list[int], ticks: int) -> int:
        gap = ticks - seen[-1]
        if gap <= 0:
            raise InputError(
                f"Frame {len(seen)} does not come after the one before it "
                f"({self._seconds(ticks)} s after {self._seconds(seen[-1])} s): {self.path}",
                hint="Give it new times first: `ffmpeg -i IN -fps_mode vfr OUT`",
            )
        return gap

    def _seconds(self, ticks: int) -> float:
        return float(ticks * self.info.time_base - self.info.origin_seconds)

    def _frame(self, picture: VideoFrame, ticks: int, duration: int) -> Frame:
        found = (picture.width, picture.height, picture.format.name)
        expected = (self.info.width, self.info.height, self.info.pixel_format)
        if found != expected:
            raise InputError(
                "The pictures change on the way, from {}x{} {} to {}x{} {}".format(
                    *expected, *found
                )
                + f" at {self._seconds(ticks):.3f} s: {self.path}",
                hint="Cut the video there, or scale it to one size first",
            )
        return Frame(
            planes=read_planes(picture, self.info.color),
            pts_seconds=ticks * self.info.time_base - self.info.origin_seconds,
            duration_seconds=duration * self.info.time_base,
            color=self.info.color,
        )

    def _check_all_there(self, seen: list[int], last: VideoFrame | None) -> None:
        """Every packet to be shown, from the first decoded picture on, must have given one."""
        part = self._part
        if last is None:
            raise cut_off(self.path, f"{part.frame_count} pictures could not be decoded")
        if last.pts is None:
            missing = part.packets - len(seen)
        elif not self.info.count_exact:
            missing = int(part.pts[-1] > seen[-1])
        else:
            missing = len({pts for pts in part.pts if pts >= seen[0]}.difference(seen))
        if missing > 0:
            raise cut_off(self.path, f"{missing} pictures could not be decoded")
