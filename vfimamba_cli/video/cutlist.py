"""Lists of cuts: text, with the time of the first frame of each new scene on a line of its own.

Times are seconds from the first picture of the video on, also as 1:30 or 0:01:30.5. What follows
a # is a remark.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from vfimamba_cli.errors import InputError, OptionError
from vfimamba_cli.video.target import part_file, refusal_is_an_output_error
from vfimamba_cli.video.timeline import parse_seconds


class CutList:
    """Cuts at known times.

    Args:
        seconds: of their first frames, after the first picture.
    """

    def __init__(self, seconds: Iterable[Fraction]) -> None:
        self.seconds = sorted(seconds)

    def lies_between(self, before: Fraction, now: Fraction, following: Fraction) -> bool:
        """Whether one belongs to the frame at `now`, to no other more than to it.

        Args:
            before, following: when the frames around it appear.
        """
        start, end = (before + now) / 2, (now + following) / 2
        place = bisect_left(self.seconds, start)
        return place < len(self.seconds) and self.seconds[place] < end


def read_cuts(path: Path) -> CutList:
    """The list in a file.

    Raises:
        InputError: if it cannot be read as one.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The list of cuts cannot be read ({error}): {path}",
            hint="It is a text file with a time on each line",
        ) from error
    seconds = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            seconds.append(parse_seconds(text, "a list of cuts"))
        except OptionError as error:
            raise InputError(
                f"Line {number} of the list of cuts is no time, {text!r}: {path}",
                hint="One time on each line, like 90, 1:30 or 0:01:30.5",
            ) from error
    return CutList(seconds)


def write_cuts(path: Path, seconds: Sequence[Fraction]) -> None:
    """Write a list that `read_cuts` takes.

    Raises:
        OutputError: if it cannot be written.
    """
    lines = [f"{float(second):.6f}\n" for second in seconds]
    with refusal_is_an_output_error(path), part_file(path) as part:
        part.write_text("# cuts: seconds after the first picture\n" + "".join(lines), "utf-8")
