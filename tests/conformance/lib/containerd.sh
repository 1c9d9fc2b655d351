# shellcheck shell=bash
# The newest containerd, which no Debian release has yet: out of its module, as the suites are.
newest_containerd=v2.4.2
newest_containerd_go='1.26 sid'

# Prints the directory with containerd and ctr.
newest_containerd_ensure() {
  local dir
  dir=$cache/containerd-$({ cat "$conformance/lib/containerd.sh"; } | short_hash)
  [[ -d $dir ]] || locked containerd newest_containerd_build "$dir" >&2
  touch "$dir" # used: see newest_containerd_build
  echo "$dir"
}

newest_containerd_build() {
  local dir=$1 go module=github.com/containerd/containerd/v2
  [[ ! -d $dir ]] || return 0 # another built it while this one waited
  say "building containerd $newest_containerd (once; some minutes)"
  go=$(go_ensure $newest_containerd_go)
  logged "$cache/log/containerd-download" go_run "$go" "$cache" mod download "$module@$newest_containerd"
  rm -rf "$dir.new"
  mkdir "$dir.new"
  logged "$cache/log/containerd-build" go_run "$go" "$cache/go-modules/$module@$newest_containerd" build -trimpath \
    -ldflags "-s -w -X $module/version.Version=$newest_containerd" -o "$dir.new" ./cmd/containerd ./cmd/ctr
  find "$cache" -maxdepth 1 -name 'containerd-*' -not -name '*.new' -mtime +7 -exec rm -rf {} +
  mv "$dir.new" "$dir"
}
