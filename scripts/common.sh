# Sourced by the other scripts: goes to the project's root and defines what they share.
# shellcheck shell=bash
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# One target directory for everything cargo does here, the one mix compile uses.
export CARGO_TARGET_DIR="$PWD/_build/native"

die() {
  printf '%s\n' "$*" >&2
  exit 1
}

# stage NAME COMMAND...: says what runs and how long after the start of the outermost script.
: "${SNAKEPIT_STARTED:=$(date +%s)}"
export SNAKEPIT_STARTED
stage() {
  printf '\n==> [%4d s] %s\n' $(($(date +%s) - SNAKEPIT_STARTED)) "$1"
  shift
  "$@"
}

in_native() { (cd native && PYO3_PYTHON="$OLDPWD/.venv/bin/python" "$@"); }
in_python() { (cd priv/python && PATH="$OLDPWD/.venv/bin:$PATH" "$@"); }
in_js() { (cd priv/js && "$@"); }

has_node() {
  command -v npm >/dev/null 2>&1 && command -v node >/dev/null 2>&1 &&
    node -e '
      const [major, minor] = process.versions.node.split(".").map(Number);
      process.exit(major > 18 || (major === 18 && minor >= 19) ? 0 : 1);
    '
}

# What ruff looks after, seen from priv/python.
python=(. ../../bench ../../examples ../../test)
