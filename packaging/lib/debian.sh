# shellcheck shell=bash
# Debian packages for the scripts that build images: which mirror, a private apt, a kernel.
# Sourced; the caller has `set -euo pipefail`. Nothing here touches the host's own apt state.

readonly debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror of the host's own release. Read from the host's sources and never written into the
# tree, so that a build stays on whatever mirror the machine was given.
debian_mirror() {
  local codename mirror
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' \
    'Created-By: Packages' | awk -v c="$codename" '$1 == c && $2 == "main" {print $3; exit}')
  [[ $mirror ]] || { echo "no apt source for the suite '$codename' on this host" >&2; return 1; }
  echo "${mirror%/}"
}

# One-line source entry of SUITE.
debian_source() {
  echo "deb [signed-by=$debian_keyring] $(debian_mirror) $1 main"
}

# Options that make another apt believe the dates of the mirror as far as the host's apt does: a
# mirror that lags is fine where the host's administrator says so.
debian_date_options() {
  local key
  for key in Check-Valid-Until Check-Date; do
    [[ $(apt-config dump --format '%v' "Acquire::$key") != false ]] ||
      echo "--aptopt=Acquire::$key \"false\""
  done
}

# Makes DIR an apt root of its own for SUITE, with fresh package lists.
debian_private_apt() {
  local dir=$1 suite=$2
  mkdir -p "$dir"/etc/apt/{sources.list.d,apt.conf.d,preferences.d} \
    "$dir"/var/lib/{dpkg,apt/lists/partial} "$dir"/var/cache/apt/archives/partial
  : >"$dir/var/lib/dpkg/status"
  debian_source "$suite" >"$dir/etc/apt/sources.list"
  debian_apt "$dir" apt-get update -qq
}

# Runs an apt command (apt-get, apt-cache) on the private root DIR.
debian_apt() {
  local dir=$1 command=$2
  shift 2
  "$command" -o Dir="$dir" -o APT::Architecture=amd64 -o APT::Sandbox::User=root \
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

# Downloads PACKAGE from the private root DIR and unpacks it into OUT.
debian_unpack() {
  local dir=$1 package=$2 out=$3 debs
  debs=$(mktemp -d "$dir/debs.XXXXXX")
  (cd "$debs" && debian_apt "$dir" apt-get download -qq "$package")
  dpkg-deb -x "$debs"/*.deb "$out"
  rm -r "$debs"
}

# Unpacks SUITE's cloud kernel into OUT: OUT/boot/vmlinuz-* and OUT/usr/lib/modules/*, modules
# decompressed (the testbed's emulated CPU takes seconds to inflate them) and indexed by depmod.
# Prints the kernel's release.
debian_cloud_kernel() {
  local suite=$1 out=$2 apt image package release
  apt=$(mktemp -d "${TMPDIR:-/tmp}/pinion-apt.XXXXXX")
  debian_private_apt "$apt" "$suite"
  image=$(debian_apt "$apt" apt-cache depends linux-image-cloud-amd64 |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [[ $image ]] || { echo "$suite has no linux-image-cloud-amd64" >&2; return 1; }
  # Debian 14 has split the image: the kernel, now beside its modules, and they are packages of
  # their own.
  for package in "$image" $(debian_apt "$apt" apt-cache depends "$image" |
    sed -n 's/^ *Depends: \(linux-\(base\|binary\|modules\)-[0-9].*\)/\1/p'); do
    debian_unpack "$apt" "$package" "$out"
  done
  rm -r "$apt"
  if [[ -d $out/lib/modules ]]; then # before the /usr merge moved into packages (bookworm)
    mkdir -p "$out/usr/lib"
    mv "$out/lib/modules" "$out/usr/lib/modules"
    rmdir "$out/lib"
  fi
  ln -sfn usr/lib "$out/lib"
  find "$out/usr/lib/modules" -name '*.ko.xz' -print0 | xargs -0 -r -P 2 -n 64 xz -d
  release=$(basename "$out"/usr/lib/modules/*)
  if [[ -e $out/usr/lib/modules/$release/vmlinuz ]]; then
    mkdir -p "$out/boot"
    mv "$out/usr/lib/modules/$release/vmlinuz" "$out/boot/vmlinuz-$release"
  fi
  depmod -b "$out" "$release"
  echo "$release"
}

# Prints the .ko paths that the modules need, dependencies first; built-in ones need none.
# A module that this kernel does not know at all is an error.
debian_module_paths() {
  local root=$1 release=$2 name
  shift 2
  for name; do
    modprobe -d "$root" -S "$release" --show-depends "$name" ||
      { echo "kernel $release has no module $name" >&2; return 1; }
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}
