import threading
import time

import pytest

from vfimamba_cli.video.prefetch import prefetch, write_behind

PATIENCE_SECONDS = 60
"""How long a thread may take to be scheduled on a busy machine."""


def test_items_arrive_in_order_and_all_of_them():
    assert list(prefetch(range(100), depth=3)) == list(range(100))


def test_a_failing_source_fails_where_it_failed():
    def broken():
        yield 1
        yield 2
        raise OSError("truncated")

    seen = []
    with pytest.raises(OSError, match="truncated"):
        for item in prefetch(broken(), depth=1):
            seen.append(item)
    assert seen == [1, 2]


def test_it_reads_ahead_but_no_further_than_asked():
    taken, ahead = [], threading.Event()
    most = 1 + 2 + 1  # given out, waiting, and one in the worker's hand

    def source():
        for i in range(100):
            taken.append(i)
            if len(taken) == most:
                ahead.set()
            yield i

    items = prefetch(source(), depth=2)
    next(items)
    assert ahead.wait(PATIENCE_SECONDS)
    time.sleep(0.2)  # time in which it could go too far
    assert len(taken) == most
    items.close()


def test_leaving_early_stops_the_worker():
    before = set(threading.enumerate())
    items = prefetch(iter(int, 1), depth=2)
    assert next(items) == 0
    (worker,) = set(threading.enumerate()) - before
    items.close()
    worker.join(PATIENCE_SECONDS)
    assert not worker.is_alive()


def test_everything_put_is_written_in_order_before_the_block_ends():
    written = []

    def write(item):
        time.sleep(0.001)
        written.append(item)

    with write_behind(write, depth=2) as put:
        for i in range(50):
            put(i)
    assert written == list(range(50))


def test_a_failing_writer_stops_the_producer():
    def write(item):
        if item == 3:
            raise OSError("disk full")

    made = []
    with pytest.raises(OSError, match="disk full"), write_behind(write, depth=1) as put:
        for i in range(1000):
            made.append(i)
            put(i)
    assert len(made) < 10


def test_a_writer_that_fails_on_the_last_item_is_not_overlooked():
    def write(_):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), write_behind(write, depth=4) as put:
        put(1)


def test_a_failing_producer_drops_what_waits_and_keeps_its_own_error(monkeypatch):
    written, entered, leave = [], threading.Event(), threading.Event()

    class Stop(threading.Event):
        def set(self):
            super().set()
            leave.set()

    monkeypatch.setattr("vfimamba_cli.video.prefetch.Event", Stop)

    def write(item):
        written.append(item)
        entered.set()
        assert leave.wait(PATIENCE_SECONDS)

    with pytest.raises(KeyboardInterrupt), write_behind(write, depth=4) as put:
        put(1)
        put(2)
        put(3)
        assert entered.wait(PATIENCE_SECONDS)
        raise KeyboardInterrupt
    assert written == [1]
