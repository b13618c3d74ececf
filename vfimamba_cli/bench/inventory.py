"""Is a dataset all there?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vfimamba_cli.bench.protocol import Protocol
from vfimamba_cli.bench.quality import find_folder
from vfimamba_cli.data.datasets import MEASURED_SETS

LISTED = 20
"""Missing files that are named; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What there is of a set.

    Attributes:
        title: of the set.
        clips: how many there are, whole or not.
        expected: how many there should be; None where any number will do.
        files: how many these clips should have; 0 where they are parts of videos.
        missing: those that do not exist.
    """

    title: str
    clips: int
    expected: int | None
    files: int
    missing: tuple[Path, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing and self.expected in (None, self.clips)

    def lines(self) -> Iterator[str]:
        """For people."""
        of = "" if self.expected is None else f" of {self.expected}"
        files = f", {self.files - len(self.missing)} of {self.files} files" if self.files else ""
        yield f"{self.title}: {self.clips}{of} clips{files}"
        yield from (f"  missing: {path}" for path in self.missing[:LISTED])
        if len(self.missing) > LISTED:
            yield f"  and {len(self.missing) - LISTED} more"


def take_inventory(protocols: Sequence[Protocol], data: Path | None) -> Iterator[Inventory]:
    """Of each set that the protocols go through.

    Raises:
        InputError: a set does not have its layout at all.
    """
    for key in dict.fromkeys(protocol.clips for protocol in protocols):
        measured = MEASURED_SETS[key]
        clips = files = 0
        missing: list[Path] = []
        for clip in measured.clips(find_folder(measured, data)):
            clips += 1
            files += clip.file_count
            missing += clip.missing()
        yield Inventory(
            title=measured.title,
            clips=clips,
            expected=measured.count,
            files=files,
            missing=tuple(missing),
        )
