# shellcheck shell=bash
# Programs of Debian packages on any host, whatever its release: unpacked in the cache with all that
# they depend on, and never installed.

# unpacked_ensure NAME CHECK SUITE PACKAGE…: prints the directory with the files of the packages and
# of their dependencies, after fetching them if need be. SUITE may be RELEASE-backports: then both.
# CHECK is a function that is called once with a fresh directory, and proves that its program runs.
unpacked_ensure() {
  local dir
  dir=$cache/$1-$(
    {
      printf '%s\n' "$@"
      declare -f "$2" unpacked_fetch
    } | short_hash
  )
  [[ -d $dir ]] || locked "$1" unpacked_fetch "$dir" "$@" >&2
  touch "$dir" # used: see unpacked_fetch
  echo "$dir"
}

unpacked_fetch() {
  local dir=$1 name=$2 check=$3 suite=$4 work date_options release=${4%-backports} sources=()
  shift 4
  [[ ! -d $dir ]] || return 0 # another fetched it while this one waited
  say "fetching $name (once)"
  work=$(mktemp -d "$cache/.$name.XXXXXX")
  # shellcheck disable=SC2064 # the local variable is gone when the trap runs
  trap "rm -rf '$work'" EXIT
  mapfile -t date_options < <(debian_date_options)
  sources+=("$(debian_source "$release")")
  [[ $release == "$suite" ]] || sources+=("$(debian_source "$suite")")
  logged "$cache/log/mmdebstrap-$name" mmdebstrap --variant=extract --mode=root "${date_options[@]}" \
    --aptopt='APT::Install-Recommends "false"' --aptopt="APT::Default-Release \"$suite\"" \
    --include="$(IFS=, && echo "$*")" "$release" "$work/root" "${sources[@]}"
  rm -rf "$work/root"/{dev,var,usr/share/doc,usr/share/man,usr/share/locale}
  logged "$cache/log/$name-version" "$check" "$work/root"
  find "$cache" -maxdepth 1 -name "$name-*" -mtime +7 -exec rm -rf {} +
  mv "$work/root" "$dir"
  rm -rf "$work"
  trap - EXIT
}
