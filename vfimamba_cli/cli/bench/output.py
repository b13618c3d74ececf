"""Where the numbers go beside the terminal."""

from pathlib import Path

from vfimamba_cli.errors import OutputError


def write(path: Path | None, text: str) -> None:
    """Write `text`, if there is somewhere to; raises OutputError if that cannot be."""
    try:
        if path is not None:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"Cannot write: {error.strerror}: {path}") from error
