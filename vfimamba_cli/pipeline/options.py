"""What can be asked of `interpolate_video`, and how it is spelled."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from vfimamba_cli.errors import OptionError
from vfimamba_cli.video.timeline import Tail

Cut = Literal["hold", "nearest", "blend", "off"]
FlowScale = float | Literal["auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOptions:
    """Which frames are made.

    Attributes:
        factor: times as many frames; any ratio above 1, or 1 where repeats are moved. If neither
            this nor `fps`, as many as `slowmo` asks for at the source's rate, or 2.
        fps: frames per second of an exact constant rate instead.
        slowmo: times as long, sound and subtitles too.
        start_seconds, end_seconds: after the first picture: frames that appear from the one on
            and before the other, and what is heard meanwhile, are all that is written.
        tail: what happens after the last source frame.
        input_rate: of numbered pictures, which have no times, per second; 25 if None.
    """

    factor: Fraction | int | None = None
    fps: Fraction | int | None = None
    slowmo: Fraction | int | None = None
    start_seconds: Fraction | int | None = None
    end_seconds: Fraction | int | None = None
    tail: Tail = "hold"
    input_rate: Fraction | None = None

    def __post_init__(self) -> None:
        if self.input_rate is not None and self.input_rate <= 0:
            raise OptionError(
                f"The rate of the pictures must be positive, got {self.input_rate}",
                hint="Try --input-rate 25",
            )
        if self.factor is not None and self.fps is not None:
            raise OptionError(
                "--factor and --fps exclude each other",
                hint="--factor multiplies the source's rate, --fps sets a constant one",
            )
        for name, value in (("factor", self.factor), ("slowmo", self.slowmo)):
            if value is not None and (value < 1 or (name, value) == ("slowmo", 1)):
                raise OptionError(
                    f"The {name} must be more than 1, got {value}",
                    hint=f"Try --{name} 2; --fps takes a rate below the source's too",
                )
        if self.fps is not None and self.fps <= 0:
            raise OptionError(
                f"The frame rate must be positive, got {self.fps}", hint="Try --fps 60"
            )
        start = self.start_seconds or 0
        if start < 0 or (self.end_seconds is not None and self.end_seconds <= start):
            end = "the end" if self.end_seconds is None else f"{float(self.end_seconds):g} s"
            raise OptionError(
                f"Nothing lies between {float(start):g} s and {end}",
                hint="--start and --end count seconds from the first picture on",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """How pictures are taken.

    Attributes:
        cut: what is shown between the last frame of a scene and the first of the next: `hold` the
            one, `nearest` of both, `blend` from one to the other, `off` looks for no cuts.
        cuts: a list of the cuts, instead of looking for them.
        write_cuts: where to write such a list.
        dedup: longest run of repeats, in frames, that is taken for a drawing that is held: what
            moves then moves from drawing to drawing. 0 takes frames as they are.
        mask: a picture of the video's size: where it is white, made frames are as the source frame
            before them, so that logos and subtitles in the picture stay in place.
        deinterlace: make whole pictures of those that consist of two fields.
    """

    cut: Cut = "hold"
    cuts: Path | None = None
    write_cuts: Path | None = None
    dedup: int = 0
    mask: Path | None = None
    deinterlace: bool = False

    def __post_init__(self) -> None:
        if self.dedup < 0 or self.dedup == 1:
            raise OptionError(
                f"A run of repeats has 2 frames or more, got {self.dedup}", hint="Try --dedup 6"
            )
        if self.cut == "off" and (self.cuts or self.write_cuts):
            raise OptionError(
                "--cut off takes no cut for one: --cuts and --write-cuts have no use beside it",
                hint="Leave out one or the other",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What makes the frames.

    Attributes:
        model: name, checkpoint path or Hub ID, as `load_model` takes it.
        device, scan, flow_scale, tile: as `Interpolator` takes them.
    """

    model: str | Path = "vfimamba-s"
    device: str = "auto"
    scan: str = "auto"
    flow_scale: FlowScale = "auto"
    tile: int = 0


def parse_ratio(text: str, option: str) -> Fraction:
    """`2`, `2.5` or `5/2`, exactly.

    Raises:
        OptionError: for anything else, naming the option.
    """
    if not re.fullmatch(r"-?\d+(\.\d*)?|-?\.\d+|-?\d+/\d*[1-9]\d*", text.strip()):
        raise OptionError(
            f"{option} takes a number or a ratio, not {text!r}",
            hint=f"Like this: {option} 2, {option} 2.5 or {option} 5/2",
        )
    return Fraction(text.strip())


def parse_rate(text: str, option: str) -> Fraction:
    """Frames per second; a decimal that rounds n x 1000/1001 is that: 59.94 is 60000/1001.

    Raises:
        OptionError: as `parse_ratio` does.
    """
    rate = parse_ratio(text, option)
    decimals = len(text.strip().partition(".")[2])
    broadcast = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    return broadcast if decimals >= 2 and round(broadcast, decimals) == rate else rate
