"""Where the numbers go beside the terminal."""

from pathlib import Path


def write(path: Path | None, text: str) -> None:
    """Write `text`, if there is somewhere to, whole or not at all.

    Raises:
        OutputError: that cannot be.
    """
    from vfimamba_cli.checkpoint.store import write_atomically

    if path is not None:
        write_atomically(path, text.encode("utf-8"))
