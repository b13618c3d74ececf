"""What sets runs of training apart, and how good each became: the rows of an ablation's table."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from vfimamba_cli.checkpoint.store import read_checkpoint
from vfimamba_cli.errors import CheckpointError
from vfimamba_cli.train.logbook import Entry, read_entries
from vfimamba_cli.train.run_folder import RunFolder
from vfimamba_cli.train.validation import BANDS, TASKS

UNIT = "_psnr_db"
HEADS = (
    "run", "stage", "between frames", "rows", "columns", "column merge", "synthetic", "steps",
    "samples", "validated", *TASKS, *BANDS,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run.

    Attributes:
        run: name of its folder.
        stage: of the recipe.
        mixer: what carries information between the frames, see `ModelConfig`.
        rows, columns: how the frames' tokens follow one another, see `ModelConfig`.
        column_merge: see `ModelConfig`.
        synthetic_share: of all samples that the recipe plans, in [0, 1].
        steps: optimizer steps taken when the averaged weights were last saved.
        samples: drawn by then.
        validated_step: of the last validation; None where there was none.
        psnr_db: what that found, in dB, by task and by band of motion, as far as it had samples.
    """

    run: str
    stage: str
    mixer: str
    rows: str
    columns: str
    column_merge: str
    synthetic_share: float
    steps: int
    samples: int
    validated_step: int | None
    psnr_db: dict[str, float]

    @classmethod
    def of(cls, path: Path) -> Self:
        """The run in the folder `path`.

        Raises:
            InputError: there is no log of a run, or it is damaged.
            CheckpointError: there are no averaged weights, or they do not say how they were made.
        """
        folder = RunFolder(path)
        entries = read_entries(folder.metrics)
        checkpoint = read_checkpoint(folder.average)
        config = checkpoint.spec.config
        try:
            recipe, steps = checkpoint.facts["recipe"], int(checkpoint.facts["step"])
            planned = {
                "stage": recipe["stage"],
                "synthetic_share": synthetic_share(recipe),
                "samples": steps * recipe["batch"],
            }
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise CheckpointError(
                f"The weights do not say how they were trained ({error!r}): {folder.average}",
                hint="Name a folder of `train --out`",
            ) from error
        validations = [entry for entry in entries if entry["kind"] == "validation"]
        last: Entry = validations[-1] if validations else {}
        return cls(
            run=path.resolve().name,
            mixer=config.mixer,
            rows=config.rows,
            columns=config.columns,
            column_merge=config.column_merge,
            steps=steps,
            validated_step=last.get("step"),
            psnr_db=psnrs(last),
            **planned,
        )

    def cells(self) -> tuple[str, ...]:
        """For people, under `HEADS`."""
        validated = "-" if self.validated_step is None else str(self.validated_step)
        found = (self.psnr_db.get(name) for name in (*TASKS, *BANDS))
        return (
            self.run,
            self.stage,
            self.mixer,
            self.rows,
            self.columns,
            self.column_merge,
            f"{100 * self.synthetic_share:.0f} %",
            str(self.steps),
            str(self.samples),
            validated,
            *("-" if value is None else f"{value:.2f}" for value in found),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def synthetic_share(recipe: Mapping[str, Any]) -> float:
    """Of all samples of a recipe, given as `Recipe.to_dict` does, in [0, 1]."""
    return float(
        sum(
            phase["length"] * source["share"] / sum(each["share"] for each in phase["sources"])
            for phase in recipe["phases"]
            for source in phase["sources"]
            if source["dataset"] == "synthetic"
        )
    )


def psnrs(entry: Entry) -> dict[str, float]:
    """Of an entry of validation, in dB, by task and band."""
    names = (*TASKS, *BANDS)
    return {name: float(entry[name + UNIT]) for name in names if name + UNIT in entry}
