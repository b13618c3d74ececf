"""The one place where errors become lines on standard error and exit codes."""

import errno
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer

from vfimamba_cli.errors import OutputError, VfimambaError

INTERRUPTED = 130
"""128 + SIGINT, what a shell expects of a command stopped by Ctrl-C."""

ENDINGS = [kind for name in ("SIGTERM", "SIGHUP") if (kind := getattr(signal, name, None))]
"""Asked to end, by the system or because the terminal has gone."""


@contextmanager
def user_errors() -> Iterator[None]:
    """End the command with a message where the user can act; let everything else through.

    SIGTERM and SIGHUP unwind the command like Ctrl-C does, so that it can clean up behind itself.

    Raises:
        typer.Exit: with the error's exit code, or 130 after Ctrl-C.
        SystemExit: with 143 after SIGTERM, 129 after SIGHUP.
    """
    with handling(ENDINGS, _end), _one_line_each():
        yield


@contextmanager
def handling(kinds: Sequence[signal.Signals], handler: Callable[..., object]) -> Iterator[None]:
    """Let `handler` have these signals, but for those that are ignored, as under `nohup`."""
    heard = [kind for kind in kinds if signal.getsignal(kind) is not signal.SIG_IGN]
    before = [signal.signal(kind, handler) for kind in heard]
    try:
        yield
    finally:
        for kind, earlier in zip(heard, before, strict=True):
            signal.signal(kind, earlier)


@contextmanager
def _one_line_each() -> Iterator[None]:
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
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        typer.echo(f"error: Standard output cannot be written ({error.strerror})", err=True)
        typer.echo("hint: Make room where it goes, or send it elsewhere", err=True)
        raise typer.Exit(OutputError.exit_code) from None


def _end(kind: int, _: object) -> None:
    raise SystemExit(128 + kind)
