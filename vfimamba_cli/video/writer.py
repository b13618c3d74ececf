"""Frames into a video file, with the sound and everything else of the source beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame

from vfimamba_cli.errors import OutputError
from vfimamba_cli.frame import Frame
from vfimamba_cli.video.codec_choice import choose_encoder
from vfimamba_cli.video.containers import MATROSKA, PIPE, container_for
from vfimamba_cli.video.encoder import (
    add_video_stream,
    encodable,
    encoded_color,
    encoded_format,
)
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.losses import losses_of_the_file
from vfimamba_cli.video.marks import losses_of_marks
from vfimamba_cli.video.metadata import losses_of_metadata
from vfimamba_cli.video.muxer_options import muxer_options
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.palette import Palettes
from vfimamba_cli.video.passthrough import Passthrough, kept_tags
from vfimamba_cli.video.probe import open_input
from vfimamba_cli.video.pyav import open_for_writing
from vfimamba_cli.video.retime import retimed_chapters
from vfimamba_cli.video.starts import check_starts
from vfimamba_cli.video.streams import plan_streams
from vfimamba_cli.video.target import check_target, part_file
from vfimamba_cli.video.timeline import Timing
from vfimamba_cli.video.verify import count_streams, verify_pictures, verify_plan, verify_video
from vfimamba_cli.video.webp import verify_webp

MAX_TIMESCALE = 10_000_000
"""Ticks per second up to which MP4 can hold gaps of several minutes."""

FALLBACK_TIME_BASE = Fraction(1, 1_000_000)


class VideoWriter:
    """Encodes frames and carries over all other streams from the source.

    Use it as a context manager. The file appears under its name only when the block has ended
    without an error and the result was read back and found right.

    Args:
        path: of the output; its extension chooses the container.
        info: of the source, whose file is opened again for the streams to be carried over.
        timing: when frames will be shown, and where the rest of the source belongs.
        options: how to write.

    Attributes:
        encoder: which was chosen, with its settings.
        color: that frames must have, the source's wherever the encoder takes it.
        pixel_format: FFmpeg's name of what the encoder is given.
        stream_plans: what becomes of each stream of the source, in their order.
        notes: sentences to tell the user: what could not be carried over as it was.

    Raises:
        OptionError, OutputError: at once, if the options do not go with the source, the container
            or this machine; on entering, if the file cannot be written there.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        info: VideoInfo,
        timing: Timing,
        options: WriteOptions = WriteOptions(),
    ) -> None:
        self.path = Path(path)
        self.info = info
        self.timing = timing
        self.options = options
        self.container = container_for(self.path, options.container)
        self.encoder = choose_encoder(
            info, self.container, options=options, variable_rate=timing.variable_rate
        )
        self.color = encoded_color(
            self.encoder.name, info, alpha_beside=self.container.alpha_beside
        )
        self.pixel_format = encoded_format(self.encoder.name, self.color)
        self.rate = timing.rate.limit_denominator(100_000)
        self.time_base = 1 / self.rate if self.container.counted else timing.time_base
        self.notes = self._plan()
        self._span: tuple[Fraction, Fraction] | None = None
        self._count = 0
        self._durations: dict[int | None, int] = {}
        self._palettes = Palettes() if self.encoder.name == "gif" else None

    def _plan(self) -> list[str]:
        """Decide what becomes of everything in the source, and say so."""
        with open_input(self.info.path) as source:
            self.stream_plans = plan_streams(
                source,
                self.info,
                self.container,
                audio=self.options.audio,
                stretched=self.timing.time_map.scale != 1,
            )
            check_starts(source, self.stream_plans, self.info, self.container)
            losses = [
                *(plan.loss for plan in self.stream_plans if plan.loss),
                *losses_of_marks(source, self.stream_plans, self.info, self.container),
                *losses_of_metadata(source, self.stream_plans, self.info, self.container),
                *losses_of_the_file(source, self.info, self.container, self.encoder, self.color),
            ]
        if losses and self.options.strict:
            raise OutputError(
                f"{self.container.title} cannot hold all of {self.info.path}: {' '.join(losses)}",
                hint="Where it is the pictures that lose, try --codec ffv1; or leave out --strict"
                if self.container is MATROSKA
                else "Choose an output name that ends in .mkv, which holds nearly everything, or "
                "leave out --strict",
            )
        most = self.container.most_per_second
        if most is not None and self.rate > most:
            raise OutputError(
                f"Players of {self.container.title} keep up with {most} frames per second, not "
                f"with {float(self.rate):.5g}: {self.path}",
                hint=f"Pass --fps {most} or less",
            )
        if self.time_base.denominator > MAX_TIMESCALE:
            self.time_base = FALLBACK_TIME_BASE
            if self.container.tick_seconds is None:
                losses.append("Frame times are rounded to a microsecond.")
        if self.info.rate_assumed:
            losses.append(
                f"The source holds no frame times: {float(self.info.rate):.6g} frames per second "
                "are assumed."
            )
        return losses

    def __enter__(self) -> Self:
        check_target(
            self.path,
            self.info.path,
            overwrite=self.options.overwrite,
            piped=self.options.container,
        )
        self._session = self._write_file()
        self._session.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.__exit__(kind, error, trace)

    def write(self, frame: Frame) -> None:
        """Encode `frame` at its own time. Frames come in order, each starting where one ended.

        Raises:
            OutputError: if the encoder or the disk refuses, or the container's ticks are too
                coarse to tell the frame's time from its end.
        """
        self.check_span(frame.pts_seconds, frame.end_seconds)
        with failure_is_an_output_error(self.path):
            picture = encodable(frame, self.encoder.name, self.time_base)
            self._durations[picture.pts] = picture.duration
            self._encode(picture)
            self._passthrough.copy_until(frame.pts_seconds)
        start = self._span[0] if self._span else frame.pts_seconds
        self._span = (start, frame.end_seconds)
        self._count += 1

    def _encode(self, picture: VideoFrame | None) -> None:
        """Put a picture into the file, or all that are left; SVT-AV1 drops their durations."""
        pictures = [picture]
        if self._palettes is not None:
            pictures = [*self._palettes.pictures(picture), *([None] if picture is None else [])]
        for ready in pictures:
            for packet in self._stream.encode(ready):
                packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
                self._container.mux(packet)

    def check_span(self, start: Fraction, end: Fraction) -> None:
        """See that the container's ticks tell the time of a frame, in seconds, from its end.

        Raises:
            OutputError: they are too coarse.
        """
        tick = self.container.tick_seconds or self.time_base
        if round(start / tick) < round(end / tick):
            return
        raise OutputError(
            f"{self.container.title} cannot hold the frame at {float(start):g} s, which "
            f"lasts {float(end - start) * 1000:g} ms; its times are whole multiples of "
            f"{float(tick) * 1000:g} ms: {self.path}",
            hint="Choose an output name that ends in .mp4 or .nut, or a smaller --factor"
            if self.container.tick_seconds
            else "Use a smaller factor",
        )

    @contextmanager
    def _write_file(self) -> Iterator[None]:
        """Header, then whatever the caller writes, then the rest; verified and renamed."""
        with part_file(self.path) as part:
            with (
                open_input(self.info.path) as source,
                failure_is_an_output_error(self.path),
                self._open(part) as self._container,
            ):
                since = None if self.container.starts else self.info.start_seconds
                self._passthrough = Passthrough(
                    source, self._container, self.info, self.timing.time_map, since
                )
                self._add_streams(source)
                self._write_header()
                self._passthrough.start()
                yield
                self._encode(None)
                self._passthrough.copy_until(None)
                streams = count_streams(self._container)
            self._verify(part, streams)

    def _open(self, part: Path) -> OutputContainer:
        options = muxer_options(self.container, self.time_base.denominator)
        return open_for_writing(part, container=self.container.name, options=options)

    def _add_streams(self, source: InputContainer) -> None:
        """Add all streams in the order of the source, and everything that hangs on the file."""
        for stream, plan in zip(source.streams, self.stream_plans, strict=True):
            if plan.action == "interpolate":
                self._stream = add_video_stream(
                    self._container,
                    self.encoder,
                    self.info,
                    self.color,
                    time_base=self.time_base,
                    rate=self.rate,
                )
                self._stream.metadata.update(kept_tags(stream.metadata))
                self._stream.disposition = stream.disposition
            else:
                self._passthrough.add(stream, plan)
        self._container.metadata.update(kept_tags(source.metadata))
        if self.container.chapters and not self.container.only:
            chapters = retimed_chapters(source.chapters(), self.timing.time_map)
            self._container.set_chapters(list(chapters))

    def _write_header(self) -> None:
        """Open the encoder, which says only now that it cannot; so do some containers."""
        try:
            self._stream.codec_context.open(strict=False)
        except (av.FFmpegError, OSError) as error:
            raise OutputError(
                f"The encoder cannot be started ({error.strerror}): {self.encoder}: {self.path}",
                hint="Try another --codec"
                + (", or leave out --encoder-opt" if self.options.encoder_options else ""),
            ) from error
        try:
            self._container.start_encoding()
        except av.FFmpegError as error:
            codecs = ", ".join(stream.codec for stream in self.info.streams)
            raise OutputError(
                f"{self.container.title} cannot hold all streams of the source together "
                f"({codecs}): {self.path}",
                hint="Choose an output name that ends in .mkv, which holds nearly everything",
            ) from error

    def _verify(self, part: Path, streams: int) -> None:
        if self._span is None:
            raise OutputError(f"Not one frame was written: {self.path}")
        start, end = self._span
        count, duration = self._count, end - start
        verify_plan(self.path, self.timing, frame_count=count, duration_seconds=duration)
        if self.container.name == "image2":
            verify_pictures(part, frame_count=count)
        elif self.container.name == "webp":
            verify_webp(part, frame_count=count, duration_seconds=duration)
        elif part != PIPE:
            verify_video(part, frame_count=count, duration_seconds=duration, stream_count=streams)


@contextmanager
def failure_is_an_output_error(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors while writing `path` into `OutputError`."""
    try:
        yield
    except av.FFmpegError as error:
        raise OutputError(f"Writing failed ({error.strerror}): {path}") from error
