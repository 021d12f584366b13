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
forward(print, lambda: ("call-1", "train"))
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
            "command": "train",
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


def test_the_application_sets_the_level_before_and_after_the_import(logged):
    events, _ = logged(
        "from snakepit_bridge._logs import set_level\n"
        "set_level('warning')\n"
        "import logging\n"
        "logging.getLogger('own').setLevel(logging.DEBUG)\n"
        "logging.info('1'); logging.warning('2'); logging.getLogger('own').debug('3')\n"
        "set_level('trace'); logging.debug('4'); logging.log(2, '5')\n"
        "set_level('off'); logging.critical('6')\n"
    )
    assert [event["message"] for event in events] == ["2", "4", "5"]


def test_basic_config_does_not_overrule_the_application(logged):
    events, _ = logged(
        "from snakepit_bridge._logs import set_level\n"
        "set_level('debug')\n"
        "import logging\n"
        "logging.basicConfig(level=logging.ERROR); logging.debug('fine')\n"
    )
    assert [event["message"] for event in events] == ["fine"]


def test_of_too_many_records_the_rest_is_counted(logged):
    events, _ = logged(
        "import logging, time\n"
        "for n in range(20_000): logging.info('detail %d', n)\n"
        "logging.error('what went wrong')\n"
        # The count comes by itself.
        "time.sleep(1.5)\n"
        "logging.info('later')\n"
    )
    details = [each for each in events if each.get("level") == "info"]
    dropped = [each["count"] for each in events if each["event"] == "log_dropped"]
    assert len(details) + sum(dropped) == 20_001
    assert 1_000 <= len(details) < 5_000
    assert "what went wrong" in [each.get("message") for each in events]
    assert events[-1]["message"] == "later"


def test_a_count_that_nobody_waited_for_is_told_at_the_end(logged):
    events, _ = logged("import logging\nfor n in range(3_000): logging.info('x' * 10_000)")
    kept = [each for each in events if each["event"] == "log"]
    # Of long messages there are fewer.
    assert 90 <= len(kept) < 1_000
    assert events[-1] == {"event": "log_dropped", "count": 3_000 - len(kept)}
