"""`weights/manifest.toml`: the models known by name and where their weights come from."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import vfimamba_cli
from vfimamba_cli.errors import CheckpointError
from vfimamba_cli.model.registry import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of the manifest.

    Attributes:
        spec: the network and how to feed it; its name is what `--model` takes.
        file: file name under `weights/`, or the path inside `repo`.
        sha256: of that file, hexadecimal.
        megabytes: size of that file.
        license: of the weights, as an SPDX identifier.
        repo, revision: Hub repository and commit; empty for a bundled file.
    """

    spec: ModelSpec
    file: str
    sha256: str
    megabytes: float
    license: str
    repo: str = ""
    revision: str = ""

    @property
    def name(self) -> str:
        """What `--model` takes."""
        return self.spec.name

    @property
    def bundled(self) -> bool:
        """Whether the file comes with this program."""
        return not self.repo

    @property
    def source(self) -> str:
        """Where the file comes from, for people."""
        return "bundled" if self.bundled else f"{self.repo}@{self.revision[:8]}:{self.file}"


def weights_folder() -> Path:
    """The folder of the manifest and the bundled weights.

    In the package where it was installed from a wheel, beside the package in a checkout.

    Raises:
        CheckpointError: neither exists.
    """
    package = Path(vfimamba_cli.__file__).parent
    places = (package / "weights", package.parent / "weights")
    for place in places:
        if (place / "manifest.toml").is_file():
            return place
    raise CheckpointError(
        f"No weights/manifest.toml: looked in {places[0]} and {places[1]}",
        hint="The installation is incomplete; install it again from your clone: "
        "`pip install --force-reinstall .`",
    )


def read_manifest() -> dict[str, Entry]:
    """The known models by name, in the manifest's order.

    Raises:
        CheckpointError: no manifest, or one that makes no sense.
    """
    path = weights_folder() / "manifest.toml"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: _entry(name, table) for name, table in tables.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The manifest is damaged ({error!r}): {path}",
            hint="Install it again from your clone: `pip install --force-reinstall .`",
        ) from error


def _entry(name: str, table: dict[str, object]) -> Entry:
    values = dict(table)
    spec = ModelSpec.from_dict(
        {"name": name}
        | {key: values.pop(key) for key in ("config", "channel_order", "arbitrary_time")}
    )
    return Entry(spec=spec, **values)  # type: ignore[arg-type]
