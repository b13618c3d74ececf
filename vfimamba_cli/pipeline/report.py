"""What a run did, and where its time went."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from vfimamba_cli.pipeline.frames import FrameMaker
from vfimamba_cli.video.info import VideoInfo

T = TypeVar("T")

MOST_CUTS = 20
"""Times of cuts that are printed; a list of cuts has all."""

NOTABLE_WAIT = 0.05
"""Share of the time that the engine must be idle, and wait for another stage, for that stage to be
called the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done.

    Attributes:
        output: the file written; None where the frames were discarded.
        info: the source.
        rate: average frames per second of the result.
        cuts: where there was one, in seconds after the source's first picture.
        listed: how many the list of cuts has; None where there is none.
        source_frames: that were read.
        frames: how many of each kind were written: source, made, held (before a cut or after the
            last frame), blended (across a cut), static (between two identical frames).
        seconds: wall time of it all, without loading the model.
        engine_seconds: that the device computed the made frames for, whatever it waited between
            them.
        waits: seconds of the wall time that the engine waited for frames to be decoded and
            compared (`decode`), and for made ones to be taken by the encoder, the last of them
            until the file was whole (`encode`).
    """

    output: Path | None
    info: VideoInfo
    rate: Fraction
    source_frames: int
    frames: Counter[str]
    seconds: float
    engine_seconds: float
    waits: dict[str, float]
    cuts: tuple[Fraction, ...] = ()
    listed: int | None = None

    @property
    def made_rate(self) -> float:
        """Made frames per second of wall time."""
        return self.frames["made"] / self.seconds

    @property
    def engine_rate(self) -> float:
        """Made frames per second of the engine alone."""
        return self.frames["made"] / self.engine_seconds if self.engine_seconds else 0.0

    @property
    def limit(self) -> str:
        """The stage that the others wait for: decode, engine or encode.

        An engine that computes nearly all the time is the limit whatever its thread waited: that
        thread is ahead of the device, and small waits are those of threads for each other.
        """
        stage, waited = max(self.waits.items(), key=lambda item: item[1])
        idle = self.seconds - self.engine_seconds
        return stage if min(waited, idle) > NOTABLE_WAIT * self.seconds else "engine"

    def summary(self) -> str:
        """One line for people."""
        kept = self.frames["source"]
        kinds = ", ".join(
            f"{self.frames[kind]} {kind}"
            for kind in ("source", "made", "held", "blended", "static")
            if self.frames[kind] and not (kind == "source" and kept == self.source_frames)
        )
        return (
            f"{self.output or 'discarded'}: {self.source_frames} -> {self.frames.total()} frames"
            f"{f' ({kinds})' if kinds else ''}, "
            f"{float(self.info.rate):.6g} -> {float(self.rate):.6g} fps, "
            f"{self.seconds:.1f} s: {self.frames.total() / self.seconds:.2f} frames/s, "
            f"of them {self.made_rate:.2f} made, which the engine alone makes at "
            f"{self.engine_rate:.2f}; limited by {self.limit}"
        )

    def cut_times(self) -> str:
        """One line on the cuts."""
        times = [f"{float(time):.3f}" for time in self.cuts[:MOST_CUTS]]
        more = f" and {len(self.cuts) - MOST_CUTS} more" * (len(self.cuts) > MOST_CUTS)
        listed = "" if self.listed is None else f" of the {self.listed} listed"
        return f"cuts: {len(self.cuts)}{listed}" + (
            f", at {', '.join(times)} s{more}" if times else ""
        )


class Watch:
    """Wall time since it was made, and how much of it was spent waiting, by cause."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.waits = {"decode": 0.0, "encode": 0.0}

    def all_made(self) -> None:
        """From now on the encoder is waited for: it may hold back many frames."""
        self.last_made = time.perf_counter()

    def report(
        self,
        maker: FrameMaker,
        info: VideoInfo,
        rate: Fraction,
        *,
        output: Path | None = None,
        cuts: Sequence[Fraction] = (),
        listed: int | None = None,
    ) -> Report:
        """Of a run that is over now; see `Report`."""
        now = time.perf_counter()
        self.waits["encode"] += now - self.last_made
        return Report(
            output=output,
            info=info,
            rate=rate,
            source_frames=maker.taken,
            frames=maker.count,
            seconds=now - self.started,
            engine_seconds=maker.seconds,
            waits=self.waits,
            cuts=tuple(cuts),
            listed=listed,
        )

    @contextmanager
    def waiting(self, cause: str) -> Iterator[None]:
        """Count the time that the block takes as waiting."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.waits[cause] += time.perf_counter() - start

    def timed(self, items: Iterable[T], cause: str) -> Iterator[T]:
        """`items`, the time until each is there counted as waiting."""
        iterator = iter(items)
        while True:
            with self.waiting(cause):
                item = next(iterator, None)
            if item is None:
                return
            yield item
