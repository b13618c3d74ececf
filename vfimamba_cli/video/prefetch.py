"""Read ahead and write behind in a thread, without losing order or exceptions."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None = None


def prefetch(items: Iterable[T], *, depth: int) -> Generator[T, None, None]:
    """Iterate `items` in a worker thread, at most `depth` ahead.

    An exception in the worker is raised here, after the items that came before it, so the end
    of `items` and a failure are never mistaken for each other. Closing the iterator, or dropping
    it, stops the worker.
    """
    queue: Queue[T | _End] = Queue(maxsize=depth)
    stopped = Event()

    def put(entry: T | _End) -> None:
        while not stopped.is_set():
            with suppress(Full):
                queue.put(entry, timeout=POLL_SECONDS)
                return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
            put(_End())
        except BaseException as error:  # noqa: BLE001  everything crosses the thread
            put(_End(error))

    worker = Thread(target=work, daemon=True, name="prefetch")
    worker.start()
    try:
        while not isinstance(entry := queue.get(), _End):
            yield entry
        if entry.error is not None:
            raise entry.error
    finally:
        stopped.set()
        worker.join()


@contextmanager
def write_behind(write: Callable[[T], None], *, depth: int) -> Iterator[Callable[[T], None]]:
    """Give a `put` that hands items to `write` in a worker thread, at most `depth` waiting.

    Items are written in the order they were put. An exception of `write` is raised by the next
    `put`, or on leaving the block, which waits until everything is written. When the block
    itself fails, what is still waiting is dropped.
    """
    queue: Queue[T | _End] = Queue(maxsize=depth)
    stopped = Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not stopped.is_set():
                with suppress(Empty):
                    entry = queue.get(timeout=POLL_SECONDS)
                    if isinstance(entry, _End):
                        return
                    write(entry)
        except BaseException as error:  # noqa: BLE001  everything crosses the thread
            failures.append(error)
            stopped.set()

    def put(entry: T | _End) -> None:
        while not stopped.is_set():
            with suppress(Full):
                queue.put(entry, timeout=POLL_SECONDS)
                return
        if failures:
            raise failures[0]

    worker = Thread(target=work, daemon=True, name="write-behind")
    worker.start()
    try:
        yield put
        put(_End())
        worker.join()
    finally:
        stopped.set()
        worker.join()
    if failures:
        raise failures[0]
