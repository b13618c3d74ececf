"""From the source's frames to the output's: passed on, held, or made."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from torch import Tensor

from vfimamba_cli.engine.color import to_planes, to_rgb
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.frame import Frame, Plane
from vfimamba_cli.video.cuts import is_cut, is_static
from vfimamba_cli.video.timeline import MultiplyRate, Slot

Planes = tuple[Plane, Plane, Plane]


class FrameMaker:
    """Turns the source's frames into the output's.

    Attributes:
        count: frames given out so far, by kind.
    """

    def __init__(self, engine: Interpolator, timeline: MultiplyRate) -> None:
        self.engine = engine
        self.timeline = timeline
        self.count: Counter[str] = Counter()
        self._rgb: tuple[Frame, Tensor] | None = None

    def frames(self, source: Iterable[Frame]) -> Iterator[Frame]:
        """All output frames, in order. The last source frame is held over its own duration."""
        last = None
        for first, second in pairwise(chain(source, (None,))):
            if second is None:
                last = first
            elif first is not None:
                yield from self.fill(first, second)
        if last is not None:
            yield from self.hold(last, self.timeline.slots(last.pts_seconds, last.end_seconds))

    def fill(self, first: Frame, second: Frame) -> Iterator[Frame]:
        """The frames shown from `first` on, until `second`."""
        slots = self.timeline.slots(first.pts_seconds, second.pts_seconds)
        if is_static(first, second):
            yield from self.hold(first, slots, kind="static")
        elif is_cut(first, second):
            yield from self.hold(first, slots)
        else:
            yield from self.hold(first, slots[:1])
            for planes, slot in zip(self.between(first, second, slots[1:]), slots[1:], strict=True):
                self.count["made"] += 1
                yield first.with_planes(planes, slot.pts_seconds, slot.duration_seconds)

    def hold(self, frame: Frame, slots: list[Slot], *, kind: str = "held") -> Iterator[Frame]:
        """`frame` itself in all `slots`, its planes untouched."""
        for i, slot in enumerate(slots):
            self.count["source" if i == 0 else kind] += 1
            yield frame.at(slot.pts_seconds, slot.duration_seconds)

    def between(self, first: Frame, second: Frame, slots: list[Slot]) -> Iterator[Planes]:
        """The planes of the frames to be made in `slots`."""
        a, b = self.rgb(first), self.rgb(second)
        made = self.engine.between(a[None], b[None], [slot.t for slot in slots])
        return (to_planes(picture[0], first.color) for picture in made)

    def rgb(self, frame: Frame) -> Tensor:
        """The frame on the engine's device; a pair's second one is kept for the next pair."""
        if self._rgb is None or self._rgb[0] is not frame:
            self._rgb = frame, to_rgb(frame.planes, frame.color, self.engine.device)
        return self._rgb[1]
