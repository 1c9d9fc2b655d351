# shellcheck shell=bash
# The suites that are built from Go modules, with Debian's Go unpacked in the cache. Sourced with the
# testbed's parts and ../versions.

# go_ensure VERSION SUITE: prints the directory of the files of a Debian release's Go.
go_ensure() {
  unpacked_ensure "golang$1" go_check "$2" "golang-$1-go" ca-certificates
}

go_check() { "$1"/usr/lib/go-*/bin/go version; }

# go_run GO DIR ARG…: a go command in DIR. Modules come from where the environment says (GOPROXY), or
# else from Go's own default, and only of the versions and sums that the module at DIR has written down.
go_run() {
  local go=$1 dir=$2
  shift 2
  (cd "$dir" && env -u GOROOT CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOMODCACHE="$cache/go-modules" \
    GOCACHE="$cache/go-build" "$go"/usr/lib/go-*/bin/go "$@")
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
  go=$(go_ensure $client_go)
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

# cri_tools_ensure PROGRAM: prints the path of crictl or critest, built from cri-tools' module.
cri_tools_ensure() {
  local file
  file=$cache/$1-$({ cat "$conformance/versions" "$conformance/lib/build.sh"; } | short_hash)
  [[ -x $file ]] || locked cri-tools cri_tools_build "$1" "$file" >&2
  touch "$file" # used: see cri_tools_build
  echo "$file"
}

cri_tools_build() {
  local program=$1 file=$2 go command
  [[ ! -x $file ]] || return 0 # another built it while this one waited
  say "building $program of cri-tools $cri_tools (once; some minutes)"
  go=$(go_ensure $cri_tools_go)
  logged "$cache/log/cri-tools-download" go_run "$go" "$cache" mod download "sigs.k8s.io/cri-tools@$cri_tools"
  case $program in
    critest) command=(test -c) ;; # a suite is a test program
    *) command=(build) ;;
  esac
  logged "$cache/log/$program-build" go_run "$go" "$cache/go-modules/sigs.k8s.io/cri-tools@$cri_tools" \
    "${command[@]}" -trimpath -ldflags "-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version=$cri_tools" -o "$file.new" "./cmd/$program"
  find "$cache" -maxdepth 1 -name "$program-*" -not -name '*.new' -mtime +7 -delete
  mv "$file.new" "$file"
}
