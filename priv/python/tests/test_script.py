"""Which of several copies of the package the script starts."""

import shutil
import subprocess
import sys

import pytest
from workers import ROOT, SCRIPT


@pytest.fixture
def installed(tmp_path):
    """Another copy, which tells that it was taken."""
    package = tmp_path / "installed" / "snakepit_bridge"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "_worker.py").write_text("def main(args):\n    print('installed')\n")
    return package.parent


def run(script, path):
    done = subprocess.run(
        [sys.executable, str(script), "--help"],
        env={"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def test_the_package_beside_the_script_is_taken_if_it_is_complete(installed):
    assert "--worker-id" in run(SCRIPT, installed)


def test_an_installed_package_is_taken_if_the_one_beside_lacks_its_native_part(installed, tmp_path):
    sources = tmp_path / "sources"
    ignored = shutil.ignore_patterns("_native*.so", "__pycache__", "examples")
    shutil.copytree(ROOT / "snakepit_bridge", sources / "snakepit_bridge", ignore=ignored)
    shutil.copy(SCRIPT, sources)
    assert run(sources / SCRIPT.name, installed) == "installed\n"
