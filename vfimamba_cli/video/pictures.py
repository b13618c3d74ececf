"""The pictures of a video stream with their times, in order, from any moment on."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Self

from av.video.frame import VideoFrame

from vfimamba_cli.video.completeness import cut_off
from vfimamba_cli.video.decoder import decoder_for, is_opaque_gif
from vfimamba_cli.video.probe import damage_is_an_input_error, open_input, pick_video_stream
from vfimamba_cli.video.pyav import as_fraction
from vfimamba_cli.video.scan import Scan

Timed = tuple[int, VideoFrame]
"""A picture with its time, in ticks of the stream's time base."""

SEEK_MARGIN_SECONDS = Fraction(2)
"""Pictures may refer to those before the nearest point from which decoding can start."""


class Pictures:
    """Those of one video stream, as they are decoded.

    Attributes:
        container, stream: of PyAV; open until `close`.
    """

    def __init__(self, path: Path, scan: Scan) -> None:
        self.path = path
        self.scan = scan
        self._in_use = Lock()
        self._closed = False
        self.container = open_input(path)
        try:
            self.stream = pick_video_stream(self.container, path)
            with damage_is_an_input_error(path):
                self._opaque = is_opaque_gif(self.stream, path)
        except BaseException:
            self.container.close()
            raise
        self.stream.thread_type = "AUTO"  # type: ignore[assignment]  # av takes its name

    def close(self) -> None:
        """Close the file. A thread may be decoding at that time; it finds the end."""
        with self._in_use:
            self._closed = True
            self.container.close()

    @classmethod
    def starting_at(cls, path: Path, scan: Scan, ticks: int) -> tuple[Self, Iterator[Timed]]:
        """A new one, and its pictures from the one at `ticks` on.

        Starts near by where the container can be trusted to; from the beginning where not.
        """
        opened = cls(path, scan)
        try:
            if opened._seek(ticks):
                pictures = opened.all()
                before = next(pictures, None)
                found = next((p for p in pictures if p[0] >= ticks), None)
                if before is not None and before[0] < ticks and found and found[0] == ticks:
                    return opened, chain((found,), pictures)
                opened.close()
                opened = cls(path, scan)
            return opened, (picture for picture in opened.all() if picture[0] >= ticks)
        except BaseException:
            opened.close()
            raise

    def all(self) -> Iterator[Timed]:
        """All pictures, from where the file is read now.

        Raises:
            InputError: where the file turns out to be damaged.
        """
        packets = self.container.demux(self.stream)
        decode = decoder_for(self.stream, opaque=self._opaque)
        count = 0
        while True:
            with self._in_use, damage_is_an_input_error(self.path):
                packet = None if self._closed else next(packets, None)
                if packet is None:
                    return
                pictures = decode(packet)
            for picture in pictures:
                if picture.is_corrupt:
                    raise cut_off(self.path, "a decoded picture is incomplete")
                yield self._ticks(picture, count), picture
                count += 1

    def _seek(self, ticks: int) -> bool:
        """Go to some place well before `ticks`, if that is worth it and possible."""
        time_base = as_fraction(self.stream.time_base)
        if self._counted or not self.scan.pts or time_base is None:
            return False
        target = ticks - round(SEEK_MARGIN_SECONDS / time_base)
        if target <= self.scan.start:
            return False
        with damage_is_an_input_error(self.path):
            self.container.seek(target, stream=self.stream)
        return True

    @property
    def _counted(self) -> bool:
        """AVI stores times of decoding, which a decoder that reorders hands out in their order."""
        return self.container.format.name == "avi"

    def _ticks(self, picture: VideoFrame, index: int) -> int:
        """Time of the `index`-th picture; counted where there is none."""
        if picture.pts is None:
            return index
        if self._counted and index < len(self.scan.pts):
            return self.scan.pts[index]
        return picture.pts
