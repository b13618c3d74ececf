"""The one place where errors become lines on standard error and exit codes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from vfimamba_cli.errors import VfimambaError

INTERRUPTED = 130
"""128 + SIGINT, what a shell expects of a command stopped by Ctrl-C."""

TERMINATED = 143
"""128 + SIGTERM, how `timeout` and job queues end a command."""


@contextmanager
def user_errors() -> Iterator[None]:
    """End the command with a message where the user can act; let everything else through.

    SIGTERM unwinds the command like Ctrl-C does, so that it can clean up behind itself.

    Raises:
        typer.Exit: with the error's exit code, or 130 after Ctrl-C.
        SystemExit: with 143 after SIGTERM.
    """
    before = signal.signal(signal.SIGTERM, _terminate)
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
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> None:
    raise SystemExit(TERMINATED)
