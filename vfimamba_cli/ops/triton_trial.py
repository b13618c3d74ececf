"""Whether Triton works here, found by running kernels. Importing this module imports Triton."""

from collections.abc import Callable
from contextlib import suppress
from subprocess import SubprocessError

from triton.errors import TritonError

FAILURES = (ImportError, AttributeError, RuntimeError, OSError, SubprocessError, TritonError)


def triton_failure(right: Callable[[], bool]) -> str | None:
    """Why Triton's kernels cannot be trusted, to follow "it"; None if they can.

    Triton needs a GPU it can compile for and a C compiler with Python's headers.

    Args:
        right: runs kernels, waits for them and says whether their result is what it should be.
    """
    try:
        as_it_should_be = right()
    except FAILURES as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return f"needs Triton to work, but a trial run failed: {reason[0]}"
    return None if as_it_should_be else "needs Triton to work, but a trial run gave wrong numbers"


def fingerprint() -> None:
    """Hash Triton, as it does before it takes the first kernel from its cache, and remembers."""
    with suppress(ImportError):  # versions that do so elsewhere do it later
        from triton.runtime.cache import triton_key

        triton_key()
