# shellcheck shell=bash
# Paths, messages and locks that all parts of the testbed share. Sourced by `vm`.

tree=$(cd "$testbed/../.." && pwd)
cache=${PINION_CACHE:-/var/cache/pinion}
run=${PINION_RUN:-/run/pinion-testbed}

say() { echo "testbed: $*" >&2; }

# fail CODE MESSAGE: 1 = it went wrong, 2 = wrong usage, 3 = no such machine.
fail() {
  local code=$1
  shift
  echo "testbed: error: $*" >&2
  exit "$code"
}

# Runs a long command with its output in LOG, which is shown only if the command fails.
logged() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    fail 1 "$1 failed, its whole output is in $log"
  fi
}

# locked NAME COMMAND…: one builder of NAME at a time on this host; the others wait.
locked() {
  local name=$1
  shift
  mkdir -p "$cache"
  (
    flock 9
    "$@"
  ) 9>"$cache/.lock.$name"
}

# Hash of the texts on stdin, short enough for a file name.
short_hash() { sha256sum | cut -c 1-16; }

check_suite() {
  case $1 in
    bookworm | trixie | sid) ;;
    *) fail 2 "unknown suite '$1': bookworm, trixie or sid" ;;
  esac
}

check_name() {
  [[ $1 =~ ^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}$ ]] || fail 2 "bad machine name '$1'"
}
