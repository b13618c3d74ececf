"""From the source's frames to the output's: passed on, held, or made."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain, pairwise

from torch import Tensor

from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.engine.transfer import Download, choose_transfer
from vfimamba_cli.frame import ColorSpec, Frame
from vfimamba_cli.video.cuts import Change
from vfimamba_cli.video.timeline import Slot, Timeline

Pending = Callable[[Fraction], Frame]
"""Gives a frame that lasts so many seconds, and waits for it if need be."""


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
        self, engine: Interpolator, timeline: Timeline, color: ColorSpec | None = None
    ) -> None:
        self.engine = engine
        self.timeline = timeline
        self.color = color
        self.transfer = choose_transfer(engine.device)
        self.count: Counter[str] = Counter()
        self.seconds = 0.0
        self._rgb: tuple[Frame, Tensor] | None = None
        self._end = Fraction(0)

    def frames(self, source: Iterable[tuple[Frame, Change]]) -> Iterator[Frame]:
        """All output frames, in order, each lasting until the next one appears.

        A made frame is waited for only when `transfer.depth` later ones are on their way.

        Args:
            source: frames, each with its change since the one before, as from `cuts.changes`.
        """
        on_the_way: deque[Callable[[], Frame]] = deque()
        for pending in self.timed(source):
            on_the_way.append(pending)
            if len(on_the_way) > self.transfer.depth:
                yield on_the_way.popleft()()
        while on_the_way:
            yield on_the_way.popleft()()

    def timed(self, source: Iterable[tuple[Frame, Change]]) -> Iterator[Callable[[], Frame]]:
        """All output frames in order, started and not waited for."""
        before: tuple[Slot, Pending] | None = None
        for slot, pending in self.pending(source):
            if before is not None:
                yield partial(before[1], slot.pts_seconds - before[0].pts_seconds)
            before = slot, pending
        if before is not None:
            yield partial(before[1], self._end - before[0].pts_seconds)

    def pending(self, source: Iterable[tuple[Frame, Change]]) -> Iterator[tuple[Slot, Pending]]:
        """The same before it is known how long they last. Sets when the last one ends."""
        for index, (before, now) in enumerate(pairwise(chain(source, (None,)))):
            assert before is not None
            if now is not None:
                yield from self.fill(index, before[0], *now)
                continue
            span = before[0].pts_seconds, before[0].end_seconds
            self._end = self.timeline.end_seconds(index, *span)
            yield from self.hold(before[0], self.timeline.tail_slots(index, *span))

    def fill(
        self, index: int, first: Frame, second: Frame, change: Change
    ) -> Iterator[tuple[Slot, Pending]]:
        """The frames shown from source frame `index`, which is `first`, on, until `second`."""
        slots = self.timeline.slots(index, first.pts_seconds, second.pts_seconds)
        if change == "none":
            yield from self.hold(first, slots, kind="static")
        elif change == "cut":
            yield from self.hold(first, slots)
        elif slots:
            times = self.engine.reachable([slot.t for slot in slots])
            yield from self.hold(first, [s for s, t in zip(slots, times, strict=True) if t == 0])
            between = [(s, t) for s, t in zip(slots, times, strict=True) if 0 < t < 1]
            yield from self.make(first, second, between)
            yield from self.hold(second, [s for s, t in zip(slots, times, strict=True) if t == 1])

    def hold(
        self, frame: Frame, slots: Sequence[Slot], *, kind: str = "held"
    ) -> Iterator[tuple[Slot, Pending]]:
        """`frame` itself in all `slots`, its planes untouched if its color is to stay."""
        if not slots:
            return
        converted = self.convert(frame)
        for slot in slots:
            what = "source" if slot.t == 0 else kind
            yield slot, partial(self._held, frame, converted, slot, what)

    def make(
        self, first: Frame, second: Frame, slots: Sequence[tuple[Slot, Fraction]]
    ) -> Iterator[tuple[Slot, Pending]]:
        """The frames between both, in `slots`, each as the engine makes it for its time."""
        if not slots:
            return
        a, b = self.rgb(first), self.rgb(second)
        pictures = self.engine.between(a[None], b[None], [t for _, t in slots])
        begun = self.transfer.begin()
        for picture, (slot, _) in zip(pictures, slots, strict=True):
            download = self.transfer.download(picture[0], self.color or first.color, begun)
            yield slot, partial(self._made, first, slot, download)
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

    def _held(
        self,
        frame: Frame,
        converted: Download | None,
        slot: Slot,
        kind: str,
        duration: Fraction,
    ) -> Frame:
        self.count[kind] += 1
        times = slot.pts_seconds, duration
        if converted is None:
            return frame.at(*times)
        return frame.with_planes(converted.planes(), *times, color=self.color)

    def _made(self, first: Frame, slot: Slot, download: Download, duration: Fraction) -> Frame:
        planes = download.planes()
        self.count["made"] += 1
        self.seconds += download.seconds()
        return first.with_planes(planes, slot.pts_seconds, duration, color=self.color)
