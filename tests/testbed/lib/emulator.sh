# shellcheck shell=bash
# QEMU itself: one version for every host, from Debian's packages, unpacked in the cache and never
# installed. It runs by the loader and the libraries that it was built with.

# Debian 13 with its backports: the newest QEMU that a stable release has (README.md says why).
readonly emulator_suite=trixie
readonly emulator_packages=(qemu-system-x86 seabios)

emulator_key() {
  {
    echo "$emulator_suite" "${emulator_packages[@]}"
    cat "$testbed/lib/emulator.sh"
  } | short_hash
}

# Prints the directory with QEMU's files, after fetching them if need be.
emulator_ensure() {
  local dir
  dir=$cache/qemu-$(emulator_key)
  [[ -d $dir ]] || locked emulator emulator_fetch "$dir" >&2
  echo "$dir"
}

# The command that runs the QEMU of DIR, a word a line.
emulator_command() {
  printf '%s\n' "$1/usr/lib64/ld-linux-x86-64.so.2" --argv0 qemu-system-x86_64 \
    --library-path "$1/usr/lib/x86_64-linux-gnu" "$1/usr/bin/qemu-system-x86_64"
}

emulator_fetch() {
  local dir=$1 work date_options command
  [[ ! -d $dir ]] || return 0 # another fetched it while this one waited
  say "fetching QEMU (once)"
  work=$(mktemp -d "$cache/.qemu.XXXXXX")
  # shellcheck disable=SC2064 # the local variable is gone when the trap runs
  trap "rm -rf '$work'" EXIT
  mapfile -t date_options < <(debian_date_options)
  logged "$cache/log/mmdebstrap-qemu" mmdebstrap --variant=extract --mode=root "${date_options[@]}" \
    --aptopt='APT::Install-Recommends "false"' \
    --aptopt="APT::Default-Release \"$emulator_suite-backports\"" \
    --include="$(IFS=, && echo "${emulator_packages[*]}")" \
    "$emulator_suite" "$work/root" \
    "$(debian_source "$emulator_suite")" "$(debian_source "$emulator_suite-backports")"
  rm -rf "$work/root"/{dev,var,usr/share/doc,usr/share/man,usr/share/locale}
  mapfile -t command < <(emulator_command "$work/root")
  logged "$cache/log/qemu-version" "${command[@]}" --version
  find "$cache" -maxdepth 1 -name 'qemu-*' -mtime +7 -exec rm -rf {} +
  mv "$work/root" "$dir"
  rm -rf "$work"
  trap - EXIT
}
