# shellcheck shell=bash
# QEMU itself: one version for every host, from Debian's packages, unpacked in the cache and never
# installed. It runs by the loader and the libraries that it was built with.

# Prints the directory with QEMU's files, after fetching them if need be. Of Debian 13 with its
# backports: the newest QEMU that a stable release has (README.md says why).
emulator_ensure() {
  unpacked_ensure qemu emulator_version trixie-backports qemu-system-x86 seabios
}

# The command that runs the QEMU of DIR, a word a line.
emulator_command() {
  printf '%s\n' "$1/usr/lib64/ld-linux-x86-64.so.2" --argv0 qemu-system-x86_64 \
    --library-path "$1/usr/lib/x86_64-linux-gnu" "$1/usr/bin/qemu-system-x86_64"
}

emulator_version() {
  local command
  mapfile -t command < <(emulator_command "$1")
  "${command[@]}" --version
}
