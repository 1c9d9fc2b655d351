# shellcheck shell=bash
# What the host needs to build and run machines. Installed on the first `vm up`.

readonly host_packages=(mmdebstrap e2fsprogs openssh-client zstd lz4 xz-utils cpio kmod iproute2
  util-linux busybox-static debian-archive-keyring)

host_has_package() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# 0 if there is none.
host_qemu_major() {
  local version
  version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/^QEMU.* version \([0-9]*\)\..*/\1/p') || true
  echo "${version:-0}"
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@"
}

# QEMU before 10 corrupts flags around CMPXCHG16B in nested guests (README.md), and bookworm's own
# is 7.2: there it comes from backports.
host_install_qemu() {
  local codename suite=() source=/etc/apt/sources.list.d/pinion-testbed-backports.sources
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  if [[ $codename == bookworm ]]; then
    printf '%s\n' 'Types: deb' "URIs: $(debian_mirror)" 'Suites: bookworm-backports' \
      'Components: main' "Signed-By: $debian_keyring" >"$source"
    suite=(-t bookworm-backports)
  fi
  say "installing QEMU on the host"
  logged "$cache/log/apt-update" apt-get update
  logged "$cache/log/apt-qemu" apt_install "${suite[@]}" qemu-system-x86
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
  (($(host_qemu_major) >= 10)) || host_install_qemu
  (($(host_qemu_major) >= 10)) || fail 1 "this host has no QEMU of version 10 or later"
}

host_prepare() {
  [[ $(id -u) == 0 ]] || fail 1 "the testbed needs root (mmdebstrap, apt)"
  [[ $(uname -m) == x86_64 ]] || fail 1 "the testbed needs an x86-64 host"
  locked host host_prepare_locked
}
