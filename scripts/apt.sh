# Sourced by the scripts that install something for tests from Debian. shellcheck shell=bash
# They define `ready`, which tells whether it is there, and `without`, what is not done without it.

# Continuous integration must do it.
give_up() {
  [ "${CI:-}" != true ] || die "$(basename "$0"): $1"
  printf '%s: %s\n' "$without" "$1" >&2
  exit 0
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"
}

# install_packages WHAT FOR PACKAGE...: at once when it is there.
install_packages() {
  local what=$1 for=$2 answer log
  shift 2
  if ready; then return; fi

  command -v apt-get >/dev/null 2>&1 || give_up "there is no apt here. Put $what in PATH."
  [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null ||
    give_up "installing it needs root: apt install $*"

  if [ -t 0 ]; then
    read -r -p "$for. Install $* with apt? [y/N] " answer
    [[ "$answer" == [yY]* ]] || give_up "nothing was installed."
  fi

  echo "$for: installing $* with apt"
  log=$(mktemp)
  { apt_get update && apt_get install --no-install-recommends -y "$@"; } >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    rm -f "$log"
    give_up "apt-get failed, see above."
  }
  rm -f "$log"
  ready || give_up "installed, but $what is not in PATH."
}
