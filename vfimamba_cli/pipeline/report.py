"""What a run did, and where its time went."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vfimamba_cli.video.info import VideoInfo

T = TypeVar("T")

NOTABLE_WAIT = 0.05
"""Share of the time that the engine must wait for another stage to be called the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done.

    Attributes:
        output: the file written.
        info: the source.
        factor: times as many frames, as carried out.
        frames: how many of each kind were written: source, made, held (after a cut or the last
            frame), static (between two identical frames).
        seconds: wall time of it all, without loading the model.
        waits: seconds of it that the engine waited for frames to be decoded (`decode`) and for
            made ones to be taken by the encoder (`encode`).
    """

    output: Path
    info: VideoInfo
    factor: int
    frames: Counter[str]
    seconds: float
    waits: dict[str, float]

    @property
    def limit(self) -> str:
        """The stage that the others wait for: decode, engine or encode."""
        stage, waited = max(self.waits.items(), key=lambda item: item[1])
        return stage if waited > NOTABLE_WAIT * self.seconds else "engine"

    def summary(self) -> str:
        """One line for people."""
        source, rate = self.frames["source"], self.info.rate
        kinds = ", ".join(
            f"{self.frames[kind]} {kind}"
            for kind in ("made", "held", "static")
            if self.frames[kind]
        )
        busy = self.seconds - sum(self.waits.values())
        return (
            f"{self.output}: {source} -> {self.frames.total()} frames ({kinds}), "
            f"{float(rate):.6g} -> {float(rate * self.factor):.6g} fps, "
            f"{self.seconds:.1f} s: {self.frames.total() / self.seconds:.2f} frames/s, "
            f"{self.frames['made'] / busy:.2f} made frames/s by the engine alone; "
            f"limited by {self.limit}"
        )


class Watch:
    """Wall time since it was made, and how much of it was spent waiting, by cause."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.waits = {"decode": 0.0, "encode": 0.0}

    def seconds(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self.started

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
