"""Log records on their way to Elixir. Each script runs in an interpreter of its own, where
``logging`` is not imported yet."""

import json
import subprocess
import sys

import pytest

PREAMBLE = """
import sys
from snakepit_bridge._logs import forward
assert "logging" not in sys.modules
forward(print, lambda: "call-1")
"""


@pytest.fixture
def logged():
    """Runs a script and returns the events that it told, and what it wrote to stderr."""

    def run(script, preamble=PREAMBLE):
        command = [sys.executable, "-c", preamble + script]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return run


def test_nothing_is_imported_before_the_user_does(logged):
    assert logged("assert 'logging' not in sys.modules and 'json' not in sys.modules") == ([], "")


def test_a_record_is_an_event_with_level_logger_and_call(logged):
    events, _ = logged("import logging; logging.getLogger('a.b').warning('%s apples', 3)")
    assert events == [
        {
            "event": "log",
            "level": "warning",
            "logger": "a.b",
            "message": "3 apples",
            "request_id": "call-1",
        }
    ]


def test_logging_that_was_imported_before_works_as_well(logged):
    events, _ = logged("logging.info('hello')", "import logging" + PREAMBLE.replace("assert", "#"))
    assert [event["message"] for event in events] == ["hello"]


def test_the_import_leaves_the_module_as_it_is(logged):
    _, errors = logged(
        "import logging, logging.handlers\n"
        "assert type(logging.__loader__).__name__ == 'SourceFileLoader', logging.__loader__\n"
        "assert logging.__spec__.loader is logging.__loader__"
    )
    assert errors == ""


def test_levels_between_those_of_logging_count_as_the_one_below(logged):
    script = "import logging\nlogging.root.setLevel(1)\nfor n in (5, 10, 25, 30, 45, 50, 99):\n"
    events, _ = logged(script + "    logging.log(n, 'x')")
    assert [event["level"] for event in events] == [
        "debug",
        "debug",
        "info",
        "warning",
        "error",
        "critical",
        "critical",
    ]


def test_basic_config_sets_level_and_format(logged):
    events, errors = logged(
        "import logging\n"
        "logging.basicConfig(level=logging.DEBUG, format='[%(name)s] %(message)s')\n"
        "logging.debug('fine')\n"
        "logging.basicConfig(level=logging.ERROR)\n"
        "logging.debug('still fine')\n"
    )
    assert [event["message"] for event in events] == ["[root] fine", "[root] still fine"]
    assert errors == ""


def test_basic_config_without_a_format_adds_nothing(logged):
    events, _ = logged("import logging; logging.basicConfig(); logging.error('plain')")
    assert [event["message"] for event in events] == ["plain"]


def test_handlers_of_the_users_own_replace_ours(logged):
    events, errors = logged(
        "import logging; logging.basicConfig(stream=sys.stderr); logging.error('mine')"
    )
    assert events == []
    assert errors == "ERROR:root:mine\n"


def test_a_record_that_cannot_be_formatted_harms_nobody(logged):
    events, errors = logged("import logging; logging.error('%d', 'x'); logging.error('next')")
    assert [event["message"] for event in events] == ["next"]
    assert "Logging error" in errors
