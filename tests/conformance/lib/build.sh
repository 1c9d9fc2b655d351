# shellcheck shell=bash
# The suites that are built from Go modules, with Debian's Go unpacked in the cache. Sourced with the
# testbed's parts and ../versions.

# Prints the directory of Go's files.
go_ensure() {
  unpacked_ensure golang go_check "$go_suite" "golang-$go_version-go" ca-certificates
}

go_check() { "$1/usr/lib/go-"*/bin/go version; }

# go_run GO DIR ARG…: a go command in DIR. Modules come from where the environment says (GOPROXY), or
# else from Go's own default, and only of the versions and sums that the module at DIR has written down.
go_run() {
  local go=$1 dir=$2
  shift 2
  (cd "$dir" && env -u GOROOT CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOMODCACHE="$cache/go-modules" \
    GOCACHE="$cache/go-build" "$go/usr/lib/go-$go_version/bin/go" "$@")
}

# Prints the path of containerd's client suite.
client_suite_ensure() {
  local file
  file=$cache/client-suite-$({ cat "$conformance/versions" "$conformance/lib/build.sh" "$conformance/lib/deadlines.sed"; } | short_hash)
  [[ -x $file ]] || locked client-suite client_suite_build "$file" >&2
  touch "$file" # used: see client_suite_build
  echo "$file"
}

# The suite names the images that it wants before it reads its flags, and waits for containerd as
# long as a real processor takes. Both are changed in files that the compiler is shown in place of
# the module's.
client_suite_build() {
  local file=$1 go work dir changed
  [[ ! -x $file ]] || return 0 # another built it while this one waited
  say "building containerd's client suite $client_suite (once; some minutes)"
  work=$(mktemp -d "$cache/.client-suite.XXXXXX")
  # shellcheck disable=SC2064 # the local variable is gone when the trap runs
  trap "rm -rf '$work'" EXIT
  go=$(go_ensure)
  logged "$cache/log/client-suite-download" go_run "$go" "$work" mod download \
    "github.com/containerd/containerd/v2@$client_suite"
  dir=$cache/go-modules/github.com/containerd/containerd/v2@$client_suite
  for changed in integration/images/image_list.go integration/client/{client,container_linux,container,restart_monitor}_test.go; do
    sed -E -f "$conformance/lib/deadlines.sed" "$dir/$changed" >"$work/${changed##*/}"
    ! cmp -s "$dir/$changed" "$work/${changed##*/}" || fail 1 "nothing in $changed of $client_suite was changed"
    printf '%s"%s": "%s"' "${comma-}" "$dir/$changed" "$work/${changed##*/}"
    local comma=,
  done >"$work/replaced"
  echo "{\"Replace\": {$(cat "$work/replaced")}}" >"$work/overlay.json"
  logged "$cache/log/client-suite-build" go_run "$go" "$dir/integration/client" test -c -trimpath -overlay "$work/overlay.json" \
    -ldflags '-s -w' -o "$work/suite" .
  find "$cache" -maxdepth 1 -name 'client-suite-*' -mtime +7 -delete
  mv "$work/suite" "$file"
  rm -rf "$work"
  trap - EXIT
}
