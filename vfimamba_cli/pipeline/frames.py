"""From the source's frames to the output's: passed on, held, or made."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import chain, pairwise

import torch
from torch import Tensor

from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.engine.transfer import Download, choose_transfer
from vfimamba_cli.frame import ColorSpec, Frame, Planes
from vfimamba_cli.pipeline.options import Cut
from vfimamba_cli.video.overlay import Mask, find_bars
from vfimamba_cli.video.repeats import Shown
from vfimamba_cli.video.timeline import Slot, Timeline

HALF = Fraction(1, 2)

Pending = Callable[[Fraction], Frame]
"""Gives a frame that lasts so many seconds, and waits for it if need be."""

Keep = Callable[[Planes], None]
"""Puts something into the planes of a made frame."""


class FrameMaker:
    """Turns the source's frames into the output's.

    Args:
        engine: makes the frames in between.
        timeline: says when frames are shown.
        color: that frames are to have if not the source's; all of them are converted then, the
            source's too, by one and the same way, so that they agree.
        cut: what is shown between two scenes.
        mask: where made frames are to be as the source frame before them. Black bars are anyway.

    Attributes:
        taken: source frames so far.
        count: frames given out so far, by kind.
        seconds: that the engine's device computed made frames for, of those given out.
    """

    def __init__(
        self,
        engine: Interpolator,
        timeline: Timeline,
        color: ColorSpec | None = None,
        *,
        cut: Cut = "hold",
        mask: Mask | None = None,
    ) -> None:
        self.engine = engine
        self.timeline = timeline
        self.color = color
        self.cut = cut
        self.mask = mask
        self.transfer = choose_transfer(engine.device)
        self.taken = 0
        self.count: Counter[str] = Counter()
        self.seconds = 0.0
        self._rgb: tuple[Frame, Tensor] | None = None
        self._end = Fraction(0)

    def frames(self, source: Iterable[Shown]) -> Iterator[Frame]:
        """All output frames, in order, each lasting until the next one appears.

        A made frame is waited for only when `transfer.depth` later ones are on their way.

        Args:
            source: what is shown, as from `repeats.singly`.
        """
        on_the_way: deque[Callable[[], Frame]] = deque()
        for pending in self.timed(source):
            on_the_way.append(pending)
            if len(on_the_way) > self.transfer.depth:
                yield on_the_way.popleft()()
        while on_the_way:
            yield on_the_way.popleft()()

    def timed(self, source: Iterable[Shown]) -> Iterator[Callable[[], Frame]]:
        """All output frames in order, started and not waited for."""
        before: tuple[Slot, Pending] | None = None
        for slot, pending in self.pending(source):
            if before is not None:
                yield partial(before[1], slot.pts_seconds - before[0].pts_seconds)
            before = slot, pending
        if before is not None:
            yield partial(before[1], self._end - before[0].pts_seconds)

    def pending(self, source: Iterable[Shown]) -> Iterator[tuple[Slot, Pending]]:
        """The same before it is known how long they last. Sets when the last one ends."""
        for before, now in pairwise(chain(source, (None,))):
            assert before is not None
            spans = enumerate(before.spans, start=self.taken)
            self.taken += len(before.spans)
            if now is not None:
                slots = [slot for i, span in spans for slot in self.timeline.slots(i, *span)]
                yield from self.fill(before, now, slots)
            else:
                *others, (last, end) = spans
                slots = [slot for i, span in others for slot in self.timeline.slots(i, *span)]
                slots += self.timeline.tail_slots(last, *end)
                self._end = self.timeline.end_seconds(last, *end)
                yield from self.hold(before.frame, slots)

    def fill(
        self, shown: Shown, following: Shown, slots: Sequence[Slot]
    ) -> Iterator[tuple[Slot, Pending]]:
        """The frames in `slots`, shown until `following` is."""
        first, second = shown.frame, following.frame
        if len(shown.spans) > 1:
            slots = spread(slots, first.pts_seconds, second.pts_seconds)
        if following.change == "none":
            yield from self.hold(first, slots, kind="static")
        elif following.change == "cut":
            yield from self.cross(first, second, slots)
        elif slots:
            yield from self.move(first, second, slots)

    def cross(
        self, first: Frame, second: Frame, slots: Sequence[Slot]
    ) -> Iterator[tuple[Slot, Pending]]:
        """From one scene to the next, as was asked for."""
        if self.cut == "nearest":
            yield from self.hold(first, [slot for slot in slots if slot.t < HALF])
            yield from self.hold(second, [slot for slot in slots if slot.t >= HALF])
        elif self.cut == "blend":
            yield from self.hold(first, [slot for slot in slots if slot.t == 0])
            between = [slot for slot in slots if slot.t != 0]
            if between:
                a, b = self.rgb(first), self.rgb(second)
                mixed = (torch.lerp(a, b, float(slot.t)) for slot in between)
                yield from self.download(first, second, between, mixed, kind="blended")
        else:
            yield from self.hold(first, slots)

    def move(
        self, first: Frame, second: Frame, slots: Sequence[Slot]
    ) -> Iterator[tuple[Slot, Pending]]:
        """From one frame to the next, by motion."""
        times = self.engine.reachable([slot.t for slot in slots])
        timed = list(zip(slots, times, strict=True))
        yield from self.hold(first, [slot for slot, t in timed if t == 0])
        between = [(slot, t) for slot, t in timed if 0 < t < 1]
        if between:
            a, b = self.rgb(first), self.rgb(second)
            made = self.engine.between(a[None], b[None], [t for _, t in between])
            given = [slot for slot, _ in between]
            yield from self.download(first, second, given, (picture[0] for picture in made))
        yield from self.hold(second, [slot for slot, t in timed if t == 1])

    def download(
        self,
        first: Frame,
        second: Frame,
        slots: Sequence[Slot],
        pictures: Iterable[Tensor],
        kind: str = "made",
    ) -> Iterator[tuple[Slot, Pending]]:
        """A picture for each of `slots`, (3, H, W), as they are made."""
        keep = self.keep(first, second)
        begun = self.transfer.begin()
        for picture, slot in zip(pictures, slots, strict=True):
            arriving = self.transfer.download(picture, self.color or first.color, begun)
            yield slot, partial(self._made, first, slot, arriving, kind, keep)
            begun = self.transfer.begin()

    def keep(self, first: Frame, second: Frame) -> Keep:
        """Puts what is to stay as in `first` into planes made for the time until `second`."""
        layers = [layer for layer in (find_bars(first, second), self.mask) if layer is not None]
        if not layers:
            return lambda _: None
        converted = self.convert(first)

        def keep(planes: Planes) -> None:
            source = first.planes if converted is None else converted.planes()
            for layer in layers:
                layer.keep(planes, source)

        return keep

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

    def _made(
        self,
        first: Frame,
        slot: Slot,
        arriving: Download,
        kind: str,
        keep: Keep,
        duration: Fraction,
    ) -> Frame:
        planes = arriving.planes()
        keep(planes)
        self.count[kind] += 1
        if kind == "made":
            self.seconds += arriving.seconds()
        return first.with_planes(planes, slot.pts_seconds, duration, color=self.color)


def spread(slots: Sequence[Slot], start: Fraction, end: Fraction) -> list[Slot]:
    """`slots` of several source frames, their `t` from `start` to `end`."""
    return [replace(slot, t=(slot.pts_seconds - start) / (end - start)) for slot in slots]
