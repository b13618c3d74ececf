"""Scores of finished clips, on disk as they come: an interrupted run goes on from there."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vfimamba_cli.bench.score import Score
from vfimamba_cli.checkpoint.store import write_atomically
from vfimamba_cli.differences import differences
from vfimamba_cli.errors import InputError, OptionError, OutputError


class Ledger:
    """All scores of a run, in memory, and if it has a path, in a file of JSON lines.

    The first line says how the run measures; a run that measures otherwise does not go on with
    these scores.

    Attributes:
        path: of the file; None for none.
        scores: by `Score.key`, in the order they came.
        resumed: how many of them were there at the start.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        """Read what is there, or start the file.

        Raises:
            OptionError: the file is that of a run with other settings.
            InputError: it is damaged.
            OutputError: it cannot be written.
        """
        self.path = path
        self.settings = settings
        self.scores: dict[tuple[str, str, str], Score] = {}
        if path is not None and path.exists():
            self._read(path)
        elif path is not None:
            self._append([settings])
        self.resumed = len(self.scores)

    def _read(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
            complete = text[: text.rfind("\n") + 1]  # a line cut off was not finished
            first, *lines = [json.loads(line) for line in complete.splitlines()] or [self.settings]
            begun_with = dict(first)
            scores = [Score.from_dict(line) for line in lines]
        except OSError as error:
            raise InputError(f"Cannot read: {error.strerror}: {path}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"The scores of an interrupted run are damaged: {path}", hint="Remove the file"
            ) from error
        if different := differences(begun_with, json.loads(json.dumps(self.settings))):
            raise OptionError(
                f"Another run's scores are kept here: {different}: {path}",
                hint="Repeat its options to go on with it, remove the file, or give another --json",
            )
        self.scores = {score.key: score for score in scores}
        if complete != text or not complete:
            self._rewrite(path)

    def _rewrite(self, path: Path) -> None:
        """At once or not at all."""
        lines = [self.settings, *(score.to_dict() for score in self.scores.values())]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines).encode())

    def add(self, scores: Iterable[Score]) -> None:
        """Those of one more clip, all or none of them.

        Raises:
            OutputError: they cannot be written.
        """
        new = {score.key: score for score in scores}
        self._append([score.to_dict() for score in new.values()])
        self.scores |= new

    def _append(self, lines: list[dict[str, Any]]) -> None:
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        except OSError as error:
            raise OutputError(
                f"Cannot write: {error.strerror}: {self.path}",
                hint="What is in it is kept: the same command goes on from there",
            ) from error
