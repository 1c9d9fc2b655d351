# shellcheck shell=bash
# The disk, kernel and initrd of a machine: one directory of the cache for each set of inputs.

image_packages() {
  local suite=$1 extra=$2
  echo openssh-server iproute2 procps kmod util-linux busybox-static containerd runc \
    containernetworking-plugins iptables e2fsprogs dmsetup erofs-utils jq socat strace
  echo "${extra//,/ }"
  case $suite in
    bookworm) echo qemu-system-common ;; # has the C virtiofsd; bookworm has no Rust one
    *) echo virtiofsd ;;
  esac
}

# The machines' ssh keys: made once, for a host and for the one user, root.
image_keys() {
  local name
  mkdir -p "$cache/ssh"
  chmod 700 "$cache/ssh"
  for name in host user; do
    [[ -e $cache/ssh/$name.pub ]] || ssh-keygen -q -t ed25519 -N '' -C pinion-testbed \
      -f "$cache/ssh/$name"
  done
  echo "pinion-testbed $(cut -d ' ' -f 1,2 "$cache/ssh/host.pub")" >"$cache/ssh/known_hosts"
}

image_key() {
  {
    echo "$1"
    image_packages "$1" "$2"
    cat "$cache"/ssh/*.pub "$testbed"/lib/image.sh "$tree"/packaging/lib/debian.sh
    find "$testbed/machine" -type f -print0 | LC_ALL=C sort -z | xargs -0 cat
  } | short_hash
}

# Prints the directory of the image of SUITE, with EXTRA packages (a list with commas, or nothing),
# after building it if need be.
image_ensure() {
  local suite=$1 extra=$2 dir
  locked keys image_keys
  dir=$cache/machine-$suite${extra:++$extra}-$(image_key "$suite" "$extra")
  [[ -d $dir ]] || locked "machine-$suite" image_build "$suite" "$extra" "$dir" >&2
  touch "$dir" # used: see image_forget
  echo "$dir"
}

image_build() {
  local suite=$1 extra=$2 dir=$3 work release date_options
  [[ ! -d $dir ]] || return 0 # another builder made it while this one waited
  work=$(mktemp -d "$cache/.build.XXXXXX")
  # shellcheck disable=SC2064 # the local variable is gone when the trap runs
  trap "rm -rf '$work'" EXIT
  say "building the $suite machine (once; about two minutes)"
  say "  packages of $suite: mmdebstrap"
  mapfile -t date_options < <(debian_date_options)
  # shellcheck disable=SC2046
  logged "$cache/log/mmdebstrap-$suite" mmdebstrap --variant=minbase --mode=root "${date_options[@]}" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$(tr ' \n' ',,' <<<"$(echo $(image_packages "$suite" "$extra"))" | sed 's/,$//')" \
    "$suite" "$work/root" "$(debian_source "$suite")"
  say "  kernel of $suite"
  release=$(debian_cloud_kernel "$suite" "$work/kernel")
  mkdir "$work/out"
  cp "$work/kernel/boot/vmlinuz-$release" "$work/out/vmlinuz"
  image_initrd "$work/kernel" "$release" "$work/initrd" "$work/out/initrd"
  image_fill_root "$work/root"
  image_containerd_config "$work/root" >"$work/out/containerd-config"
  mv "$work/kernel/usr/lib/modules" "$work/root/usr/lib/modules"
  say "  disk of $suite"
  truncate -s 8G "$work/out/disk"
  logged "$cache/log/mke2fs-$suite" mke2fs -t ext4 -L pinion-testbed -m 0 \
    -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 -O ^metadata_csum \
    -d "$work/root" "$work/out/disk"
  echo "$release" >"$work/out/release"
  image_forget
  mv "$work/out" "$dir"
  rm -rf "$work"
  trap - EXIT
  say "  done: $dir"
}

# Removes the images that nobody used for a week: several checkouts may share the cache.
image_forget() {
  find "$cache" -maxdepth 1 -name 'machine-*' -mtime +7 -exec rm -rf {} +
}

# Our own files in the root. ssh keys are the cache's; PID 1 and its helpers are machine/.
image_fill_root() {
  local root=$1
  install -m 755 "$testbed/machine/init" "$root/sbin/pinion-testbed-init"
  install -m 755 "$testbed/machine/containerd" "$root/usr/local/sbin/testbed-containerd"
  install -m 755 "$testbed/machine/receive" "$root/usr/local/sbin/testbed-receive"
  install -m 644 "$testbed/machine/sshd_config" "$root/etc/ssh/sshd_config"
  mkdir -p "$root/opt/cni"
  ln -s /usr/lib/cni "$root/opt/cni/bin" # where containerd and ctr look for it
  rm -f "$root"/etc/ssh/ssh_host_*
  install -m 600 "$cache/ssh/host" "$root/etc/ssh/ssh_host_ed25519_key"
  install -d -m 700 "$root/root/.ssh"
  install -m 600 "$cache/ssh/user.pub" "$root/root/.ssh/authorized_keys"
  echo pinion-testbed >"$root/etc/hostname"
  printf '127.0.0.1 localhost pinion-testbed\n' >"$root/etc/hosts"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
}

# The version of containerd's configuration: 3 from containerd 2.0 on.
image_containerd_config() {
  case $(chroot "$1" containerd --version) in
    *' 1.'*) echo 2 ;;
    *) echo 3 ;;
  esac
}

# A tiny initrd: busybox, the modules that reach the disk, and a script that moves there.
image_initrd() {
  local kernel=$1 release=$2 dir=$3 out=$4 path
  mkdir -p "$dir"/{bin,dev,proc,root,modules}
  cp /bin/busybox "$dir/bin/busybox"
  : >"$dir/modules/order"
  for path in $(debian_module_paths "$kernel" "$release" virtio_pci virtio_blk ext4); do
    cp "$path" "$dir/modules/"
    basename "$path" >>"$dir/modules/order"
  done
  install -m 755 "$testbed/machine/initrd-init" "$dir/init"
  (cd "$dir" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$out"
}
