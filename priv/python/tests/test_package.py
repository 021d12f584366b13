"""What the package shows of itself, and what it costs to import."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import snakepit_bridge
from snakepit_bridge import _registry

ROOT = Path(__file__).parent.parent

# Slow to import, and not needed to serve plain handlers.
HEAVY = {
    "argparse",
    "ast",
    "asyncio",
    "dataclasses",
    "difflib",
    "functools",
    "inspect",
    "json",
    "logging",
    "re",
    "threading",
    "traceback",
    "typing",
}


def test_all_public_names_are_in_all():
    public = {
        name
        for name, value in vars(snakepit_bridge).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert public | {"__version__"} == set(snakepit_bridge.__all__)


def test_every_module_is_private_but_the_examples():
    modules = {name for _, name, _ in pkgutil.iter_modules(snakepit_bridge.__path__)}
    assert {name for name in modules if not name.startswith("_")} <= {
        "examples",
        "grpc",
        "transports",
    }


def test_classes_are_known_by_the_name_they_are_imported_by():
    for name in snakepit_bridge.__all__:
        value = getattr(snakepit_bridge, name)
        if isinstance(value, type):
            assert f"{value.__module__}.{value.__qualname__}" == f"snakepit_bridge.{name}"


def test_the_version_is_that_of_the_distribution():
    project = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'^version = "(.*)"$', project, re.MULTILINE)[1] == snakepit_bridge.__version__


def test_the_package_is_typed():
    assert (ROOT / "snakepit_bridge" / "py.typed").exists()


def test_every_module_has_a_docstring():
    for _, name, is_package in pkgutil.walk_packages(snakepit_bridge.__path__, "snakepit_bridge."):
        source = ROOT / name.replace(".", "/")
        file = source / "__init__.py" if is_package else source.with_suffix(".py")
        if file.exists() and not name.startswith("snakepit_bridge.grpc"):
            assert file.read_text().startswith('"""'), file


def modules_after(code):
    """The modules that a fresh interpreter has loaded after the code."""
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.split())


def test_serving_plain_handlers_loads_nothing_heavy():
    bare = modules_after("")
    loaded = modules_after(
        "import snakepit_bridge._worker\n"
        "from snakepit_bridge import Context, command, stream\n"
        "from snakepit_bridge._dispatcher import Dispatcher\n"
        "@command\n"
        "def plain(ctx: Context, text: str, limit: int = 1, ids: 'list[int]' = ()): return {}\n"
        "@stream\n"
        "def chunks(count: int): yield {}\n"
        "dispatcher = Dispatcher('w')\n"
        "dispatcher.find('plain').invoke({'text': 'a', 'ids': [1]}, None)\n"
        "list(dispatcher.find('chunks').invoke({'count': 1}, None))\n"
    )
    assert "snakepit_bridge._dispatcher" in loaded
    assert (loaded - bare) & HEAVY == set()


def test_registering_async_handlers_does_not_load_asyncio():
    assert "asyncio" not in modules_after(
        "from snakepit_bridge import command\n@command\nasync def handler(): ...\n"
        "from snakepit_bridge._dispatcher import Dispatcher\nDispatcher('w').find('handler')\n"
    )


def test_importing_the_package_prints_nothing_and_registers_nothing():
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "import snakepit_bridge, snakepit_bridge._builtins, snakepit_bridge._registry as r;"
            "assert r.default.names() == []",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_every_module_can_be_imported(monkeypatch):
    for _, name, _ in pkgutil.walk_packages(snakepit_bridge.__path__, "snakepit_bridge."):
        if not name.startswith("snakepit_bridge.grpc"):  # an extra, with dependencies of its own
            # No worker serves all of them: two examples have a handler of the same name.
            monkeypatch.setattr(_registry, "default", _registry.Registry())
            importlib.import_module(name)
