"""What the parent asks of a worker that runs."""

import json
import os
import threading
from queue import Queue

from support import LIMIT

from snakepit_bridge import _logs
from snakepit_bridge.transports._herald import MOST, Herald
from snakepit_bridge.transports._orders import follow


def test_orders_are_obeyed_until_the_parent_has_gone(monkeypatch):
    levels = Queue()
    monkeypatch.setattr(_logs, "set_level", levels.put)
    reading, writing = os.pipe()
    following = threading.Thread(target=follow, args=(reading,))
    following.start()
    os.write(writing, b"log_level de")
    os.write(writing, b"bug\nlog_level nonsense\nsomething else\n\xff\n" + b"x" * 5_000)
    assert levels.get(timeout=LIMIT) == "debug"
    os.write(writing, b"\nlog_level off\n")
    assert levels.get(timeout=LIMIT) == "off"
    assert following.is_alive()
    os.close(writing)
    following.join(LIMIT)
    assert not following.is_alive()
    os.close(reading)


def test_who_tells_something_never_waits():
    told, may_write, writing = Queue(), threading.Event(), threading.Event()

    def tell(line):
        writing.set()
        assert may_write.wait(LIMIT)
        told.put(json.loads(line)["n"])

    herald = Herald(tell)
    herald.tell({"n": 0})
    assert writing.wait(LIMIT)
    for n in range(1, 2 * MOST):
        herald.tell({"n": n})
    may_write.set()
    assert [told.get(timeout=LIMIT) for _ in range(MOST + 1)] == list(range(MOST + 1))
    herald.tell({"n": "last"})
    assert told.get(timeout=LIMIT) == "last"
