"""From the source's frames to the output's: passed on, held, or made."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, pairwise

from torch import Tensor

from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.engine.transfer import Download, choose_transfer
from vfimamba_cli.frame import ColorSpec, Frame
from vfimamba_cli.video.cuts import Change
from vfimamba_cli.video.timeline import MultiplyRate, Slot

Pending = Callable[[], Frame]
"""Gives a frame, and waits for it if need be."""


class FrameMaker:
    """Turns the source's frames into the output's.

    Args:
        engine: makes the frames in between.
        timeline: says when frames are shown.
        color: that frames are to have if not the source's; all of them are converted then, the
            source's too, by one and the same way, so that they agree.

    Attributes:
        count: frames given out so far, by kind.
        seconds: that the engine's device computed made frames for, of those given out.
    """

    def __init__(
        self, engine: Interpolator, timeline: MultiplyRate, color: ColorSpec | None = None
    ) -> None:
        self.engine = engine
        self.timeline = timeline
        self.color = color
        self.transfer = choose_transfer(engine.device)
        self.count: Counter[str] = Counter()
        self.seconds = 0.0
        self._rgb: tuple[Frame, Tensor] | None = None

    def frames(self, source: Iterable[tuple[Frame, Change]]) -> Iterator[Frame]:
        """All output frames, in order. The last source frame is held over its own duration.

        A made frame is waited for only when `transfer.depth` later ones are on their way.

        Args:
            source: frames, each with its change since the one before, as from `cuts.changes`.
        """
        on_the_way: deque[Pending] = deque()
        for pending in self.pending(source):
            on_the_way.append(pending)
            if len(on_the_way) > self.transfer.depth:
                yield on_the_way.popleft()()
        while on_the_way:
            yield on_the_way.popleft()()

    def pending(self, source: Iterable[tuple[Frame, Change]]) -> Iterator[Pending]:
        """All output frames in order, started and not waited for."""
        last = None
        for before, now in pairwise(chain(source, (None,))):
            if now is not None and before is not None:
                yield from self.fill(before[0], *now)
            elif before is not None:
                last, _ = before
        if last is not None:
            yield from self.hold(last, self.timeline.slots(last.pts_seconds, last.end_seconds))

    def fill(self, first: Frame, second: Frame, change: Change) -> Iterator[Pending]:
        """The frames shown from `first` on, until `second`."""
        slots = self.timeline.slots(first.pts_seconds, second.pts_seconds)
        if change == "none":
            yield from self.hold(first, slots, kind="static")
        elif change == "cut":
            yield from self.hold(first, slots)
        else:
            yield from self.hold(first, slots[:1])
            yield from self.make(first, second, slots[1:])

    def hold(self, frame: Frame, slots: list[Slot], *, kind: str = "held") -> Iterator[Pending]:
        """`frame` itself in all `slots`, its planes untouched if its color is to stay."""
        converted = self.convert(frame)
        for i, slot in enumerate(slots):
            yield partial(self._held, frame, converted, slot, "source" if i == 0 else kind)

    def make(self, first: Frame, second: Frame, slots: list[Slot]) -> Iterator[Pending]:
        """The frames between both, in `slots`."""
        a, b = self.rgb(first), self.rgb(second)
        pictures = self.engine.between(a[None], b[None], [slot.t for slot in slots])
        begun = self.transfer.begin()
        for picture, slot in zip(pictures, slots, strict=True):
            download = self.transfer.download(picture[0], self.color or first.color, begun)
            yield partial(self._made, first, slot, download)
            begun = self.transfer.begin()

    def rgb(self, frame: Frame) -> Tensor:
        """The frame on the engine's device; a pair's second one is kept for the next pair."""
        if self._rgb is None or self._rgb[0] is not frame:
            self._rgb = frame, self.transfer.upload(frame.planes, frame.color)
        return self._rgb[1]

    def convert(self, frame: Frame) -> Download | None:
        """Its planes in the output's color; none if that is its own."""
        if self.color in (None, frame.color):
            return None
        return self.transfer.download(self.rgb(frame), self.color, self.transfer.begin())

    def _held(self, frame: Frame, converted: Download | None, slot: Slot, kind: str) -> Frame:
        self.count[kind] += 1
        times = slot.pts_seconds, slot.duration_seconds
        if converted is None:
            return frame.at(*times)
        return frame.with_planes(converted.planes(), *times, color=self.color)

    def _made(self, first: Frame, slot: Slot, download: Download) -> Frame:
        planes = download.planes()
        self.count["made"] += 1
        self.seconds += download.seconds()
        times = slot.pts_seconds, slot.duration_seconds
        return first.with_planes(planes, *times, color=self.color)
