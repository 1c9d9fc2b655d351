# shellcheck shell=bash
# Pinion into a machine: programs, guest kernel and initrd, configuration, an image for tests.

# The program NAME in the build directory: in its top, or wherever Meson put it.
install_find() {
  local build=$1 name=$2
  [[ ! -x $build/$name ]] || { echo "$build/$name" && return; }
  find "$build" -type f -name "$name" -perm -u+x -print -quit
}

# install_program BUILD NAME TARGET [optional]
install_program() {
  local found
  found=$(install_find "$1" "$2")
  if [[ $found ]]; then
    install -D -m 755 "$found" "$3"
    strip "$3"  # a tenth of the bytes to copy into the machine
  else
    [[ ${4:-} ]] || fail 1 "no program $2 in $1 (PINION_BUILD)"
  fi
}

# Guest files in STAGE: those of PINION_GUEST, or else built with this build's agent.
install_guest() {
  local build=$1 target=$2 guest=${PINION_GUEST:-$build/guest} agent
  if [[ ! ${PINION_GUEST:-} ]]; then
    agent=$(install_find "$build" pinion-agent)
    [[ $agent ]] || fail 1 "no program pinion-agent in $build (PINION_BUILD)"
    "$tree/packaging/guest/build" --out "$guest" --agent "$agent"
  fi
  [[ -r $guest/vmlinux && -r $guest/initrd ]] || fail 1 "no vmlinux and initrd in $guest"
  mkdir -p "$target"
  cp "$guest/vmlinux" "$guest/initrd" "$target/"
}

install_pinion() {
  local name=$1 build=${PINION_BUILD:-$tree/build} state stage local_dir
  state=$(machine_state "$name") || exit
  [[ -d $build ]] || fail 1 "no build directory $build (PINION_BUILD)"
  stage=$(mktemp -d "$state/install.XXXXXX")
  # shellcheck disable=SC2064 # the local variable is gone when the trap runs
  trap "rm -rf '$stage'" EXIT
  local_dir=$stage/root/usr/local
  say "staging Pinion from $build"
  install_program "$build" containerd-shim-pinion-v2 "$local_dir/bin/containerd-shim-pinion-v2"
  install_program "$build" pinion-vmm "$local_dir/libexec/pinion/pinion-vmm"
  install_program "$build" pinion-shim-grpc "$local_dir/libexec/pinion/pinion-shim-grpc" optional
  install_program "$build" pinionctl "$local_dir/bin/pinionctl"
  install_guest "$build" "$local_dir/share/pinion"
  install -D -m 644 "$testbed/config/pinion.toml" "$stage/root/etc/pinion/config.toml"
  install -D -m 644 "$testbed/config/containerd-$(cat "$state/image/containerd-config").toml" \
    "$stage/root/etc/containerd/config.toml"
  install -D -m 644 "$testbed/config/cni.conflist" "$stage/root/etc/cni/net.d/10-testbed.conflist"
  "$tree/packaging/busybox-image" "$local_dir/share/pinion/busybox.tar"
  say "copying it into '$name'"
  ssh_push "$name" "$stage/root/." /
  say "starting containerd and importing the test image"
  ssh_exec "$name" sh -c 'testbed-containerd restart &&
    ctr image import /usr/local/share/pinion/busybox.tar >/dev/null'
  say "installed: ctr run --runtime io.containerd.pinion.v2 \
docker.io/library/pinion-busybox:latest ID CMD"
}
