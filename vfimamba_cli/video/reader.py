"""A video file as frames with exact times: decoded whole, or not at all."""

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame

from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import Frame
from vfimamba_cli.video.completeness import cut_off
from vfimamba_cli.video.decoder import decoder_for
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.planes import read_planes
from vfimamba_cli.video.probe import (
    damage_is_an_input_error,
    describe,
    open_input,
    pick_video_stream,
)
from vfimamba_cli.video.scan import scan_packets

HIDDEN_PICTURES = {"vp8", "vp9"}
"""Codecs with packets that show nothing: other pictures refer to them."""


class VideoReader:
    """Decodes one video stream of a file, in order, with exact times.

    Use it as a context manager; `info` is known inside. The whole file is read once, undecoded,
    before the first frame, so that a cut-off one is refused before any work is done on it.

    Raises:
        InputError: on entering, if there is no such file, it is no video, it is cut off, or its
            pictures are of an unsupported kind.
    """

    info: VideoInfo

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._in_use = Lock()
        self._closed = False

    def __enter__(self) -> Self:
        with open_input(self.path) as container, damage_is_an_input_error(self.path):
            self._scan = scan_packets(container, pick_video_stream(container, self.path), self.path)
        self._container = open_input(self.path)
        try:
            self._stream = pick_video_stream(self._container, self.path)
            self._stream.thread_type = "AUTO"  # type: ignore[assignment]  # av takes its name
            self._decoded = self._decode()
            first = next(self._decoded, None)
            if first is None:
                raise InputError(f"Not one picture could be decoded: {self.path}")
            self._first = first
            self.info = describe(self._container, self._stream, first, self._scan, self.path)
        except BaseException:
            self._container.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._in_use:  # a thread that reads ahead may be decoding right now
            self._closed = True
            self._container.close()

    def frames(self) -> Iterator[Frame]:
        """All frames, strictly increasing in time. Can be walked once.

        A frame lasts until the next one appears; the last one as `Scan.last_duration` has it.

        Raises:
            InputError: where the file turns out to be damaged, or the pictures change their size
                or format on the way.
        """
        current, ticks = self._first, self._ticks(self._first, 0)
        seen = [ticks]
        for picture in self._decoded:
            next_ticks = self._ticks(picture, len(seen))
            gap = next_ticks - ticks
            if gap <= 0:
                raise InputError(
                    f"Frame {len(seen)} does not come after the one before it "
                    f"({self._seconds(next_ticks)} s after {self._seconds(ticks)} s): {self.path}",
                    hint="Give it new times first: `ffmpeg -i IN -fps_mode vfr OUT`",
                )
            yield self._frame(current, ticks, gap)
            seen.append(next_ticks)
            current, ticks = picture, next_ticks
        self._check_all_there(seen)
        yield self._frame(current, ticks, self._scan.end - ticks)

    def _decode(self) -> Iterator[VideoFrame]:
        packets = self._container.demux(self._stream)
        decode = decoder_for(self._stream)
        while True:
            with self._in_use, damage_is_an_input_error(self.path):
                packet = None if self._closed else next(packets, None)
                if packet is None:
                    return
                pictures = decode(packet)
            for picture in pictures:
                if picture.is_corrupt:
                    raise cut_off(self.path, "a decoded picture is incomplete")
                yield picture

    def _ticks(self, picture: VideoFrame, index: int) -> int:
        """Time of the `index`-th picture, in ticks; counted where there is none.

        AVI stores times of decoding, which a decoder that reorders hands out in the wrong order.
        """
        if picture.pts is None:
            return index
        if self._container.format.name == "avi" and index < len(self._scan.pts):
            return self._scan.pts[index]
        return picture.pts

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

    def _check_all_there(self, seen: list[int]) -> None:
        """Every packet to be shown, from the first decoded picture on, must have given one."""
        if self._first.pts is None:
            missing = self._scan.packets - len(seen)
        elif self.info.interlaced or self.info.codec in HIDDEN_PICTURES:
            missing = int(self._scan.pts[-1] > seen[-1])
        else:
            missing = len({pts for pts in self._scan.pts if pts >= seen[0]}.difference(seen))
        if missing > 0:
            raise cut_off(self.path, f"{missing} pictures could not be decoded")
