"""The one place where errors become lines on standard error and exit codes."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from vfimamba_cli.errors import VfimambaError

INTERRUPTED = 130
"""128 + SIGINT, what a shell expects of a command stopped by Ctrl-C."""


@contextmanager
def user_errors() -> Iterator[None]:
    """End the command with a message where the user can act; let everything else through.

    Raises:
        typer.Exit: with the error's exit code, or 130 after Ctrl-C.
    """
    try:
        yield
    except VfimambaError as error:
        typer.echo(f"error: {error}", err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
