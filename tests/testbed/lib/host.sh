# shellcheck shell=bash
# What the host needs to build and run machines. Installed on the first `vm up`.

readonly host_packages=(mmdebstrap e2fsprogs openssh-client zstd lz4 xz-utils cpio kmod iproute2
  util-linux busybox-static debian-archive-keyring)

host_has_package() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@"
}

host_prepare_locked() {
  local package missing=()
  for package in "${host_packages[@]}"; do
    host_has_package "$package" || missing+=("$package")
  done
  if ((${#missing[@]})); then
    say "installing on the host: ${missing[*]}"
    logged "$cache/log/apt-update" apt-get update
    logged "$cache/log/apt-install" apt_install "${missing[@]}"
  fi
}

host_prepare() {
  [[ $(id -u) == 0 ]] || fail 1 "the testbed needs root (mmdebstrap, apt)"
  [[ $(uname -m) == x86_64 ]] || fail 1 "the testbed needs an x86-64 host"
  locked host host_prepare_locked
}
