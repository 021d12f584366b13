"""The queues between a handler's thread and the loop that serves its stream."""

import asyncio
import threading

import pytest
from support import LIMIT, make_call

from snakepit_bridge import Cancelled
from snakepit_bridge._exceptions import InputFailed
from snakepit_bridge.transports._credit import Credit
from snakepit_bridge.transports._inbox import Chunks, Inbox
from snakepit_bridge.transports._outbox import MAX_MESSAGES, Outbox


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def in_threads(count, function):
    threads = [threading.Thread(target=function, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def all_end(threads):
    for thread in threads:
        thread.join(LIMIT)
    return not any(thread.is_alive() for thread in threads)


def waiting(inbox, count):
    while len(inbox._handlers) < count:
        pass


@pytest.mark.parametrize("end", ["complete", "abandon"])
def test_every_thread_that_reads_hears_of_the_end(loop, end):
    inbox = Inbox(loop, 4, 0, lambda _: None)
    call = make_call(tell=lambda: None)
    heard = []

    def read():
        try:
            heard.append(list(Chunks(inbox, call, lambda chunk: chunk)))
        except Cancelled:
            heard.append("cancelled")

    threads = in_threads(3, read)
    waiting(inbox, 3)
    getattr(inbox, end)()
    assert all_end(threads)
    assert heard == [[] if end == "complete" else "cancelled"] * 3


def test_input_that_failed_is_raised_after_what_came_before(loop):
    inbox = Inbox(loop, 4, 0, lambda _: None)
    chunks = Chunks(inbox, make_call(), lambda chunk: chunk)
    inbox.put({"n": 1}, 10)
    inbox.fail("no more")
    inbox.complete()  # only the first end counts
    assert next(chunks) == {"n": 1}
    with pytest.raises(InputFailed, match="no more"):
        next(chunks)


def test_chunks_are_acknowledged_in_halves_of_the_window_and_before_a_wait(loop):
    acknowledged = []
    inbox = Inbox(loop, 4, 10_000, acknowledged.append)
    for n in range(1, 5):
        assert inbox.put(n, 1)
    assert not inbox.put(5, 1)
    for _ in range(3):
        inbox.take()
    assert acknowledged == [2]
    inbox.take()
    assert acknowledged == [2, 2]


def test_a_producer_waits_until_half_the_room_is_free(loop):
    outbox = Outbox(loop, Credit(0, 0))
    for n in range(MAX_MESSAGES):
        assert outbox.has_room()
        assert outbox.put(n, 1)
    assert not outbox.has_room()
    room = []
    threads = in_threads(1, lambda: room.append(outbox.wait_for_room()))
    for n in range(MAX_MESSAGES // 2):
        assert room == []
        assert loop.run_until_complete(outbox.get()) == n
    assert all_end(threads)
    assert room == [True]


@pytest.mark.parametrize("credit", [Credit(0, 0), Credit(1, 0)])
def test_a_producer_that_waits_hears_that_its_peer_has_gone(loop, credit):
    outbox = Outbox(loop, credit)
    while outbox.has_room():
        outbox.put("chunk", 1)
    room, called = [], threading.Event()
    outbox.on_room(called.set)
    threads = in_threads(1, lambda: room.append(outbox.wait_for_room()))
    outbox.abandon()
    assert all_end(threads)
    assert room == [False]
    assert called.is_set()
    assert not outbox.put("late", 1)


def test_more_acknowledgements_than_chunks_are_taken_as_all():
    credit = Credit(2, 100)
    credit.spend(150)
    assert not credit.available()
    credit.acknowledge(5)
    assert credit.available()
    credit.spend(1)
    credit.spend(1)
    assert not credit.available()
