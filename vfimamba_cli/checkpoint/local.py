"""What of the manifest lies on this machine, and whether it is what the manifest says."""

from pathlib import Path

from vfimamba_cli.checkpoint import store
from vfimamba_cli.checkpoint.hub import converted_path, is_intact, pull
from vfimamba_cli.checkpoint.manifest import Entry, weights_folder
from vfimamba_cli.errors import CheckpointError

REINSTALL = (
    "The installation is damaged; install it again from your clone: "
    "`pip install --force-reinstall .`"
)


def local_path(entry: Entry) -> Path:
    """Where the entry's weights lie if they are here."""
    if entry.bundled:
        return weights_folder() / entry.file
    return converted_path(entry.name, entry.sha256)


def pull_entry(entry: Entry) -> Path:
    """The entry's weights, verified; fetched from the Hub if they are not here.

    Raises:
        CheckpointError: missing, damaged, or not to be had.
    """
    return verify(entry) if entry.bundled else pull(entry)


def verify(entry: Entry) -> Path:
    """Check the entry's weights on this machine; nothing is fetched.

    Raises:
        CheckpointError: they are not here, or not what the manifest says.
    """
    path = local_path(entry)
    if not path.is_file():
        raise CheckpointError(
            f"The weights of {entry.name} are not here: {path}",
            hint=REINSTALL
            if entry.bundled
            else f"Fetch them: `vfimamba weights pull {entry.name}`",
        )
    if entry.bundled:
        _verify_hash(path, entry.sha256)
    elif not is_intact(path) or _pickle_hash(path) != entry.sha256:
        raise CheckpointError(
            f"The cached weights of {entry.name} are damaged: {path}",
            hint=f"`vfimamba weights pull {entry.name}` makes them again",
        )
    return path


def _verify_hash(path: Path, expected: str) -> None:
    found = store.sha256(path)
    if found != expected:
        raise CheckpointError(
            f"The bundled weights are not those of the manifest: SHA-256 is {found}, "
            f"expected {expected}: {path}",
            hint=REINSTALL,
        )


def _pickle_hash(converted: Path) -> str:
    """SHA-256 of the published file that `converted` was made from, as its header notes."""
    return str(store.read_checkpoint(converted).facts.get("source_sha256", ""))
