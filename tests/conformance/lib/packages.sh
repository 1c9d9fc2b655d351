# shellcheck shell=bash
# The images that the suites want, out of Debian's packages.

# images_ensure: prints the path of one archive with all of them.
images_ensure() {
  local file
  file=$cache/conformance-images-$({ cat "$conformance/versions" "$conformance"/lib/{images,packages.sh} "$tree/packaging/busybox-image"; } | short_hash).tar
  [[ -e $file ]] || locked conformance-images images_build "$file" >&2
  touch "$file" # used: see images_build
  echo "$file"
}

images_build() {
  local file=$1 nginx bash procps util_linux busybox
  [[ ! -e $file ]] || return 0 # another built it while this one waited
  nginx=$(unpacked_ensure nginx nginx_check "$image_suite" nginx)
  bash=$(unpacked_ensure bash-static bash_check "$image_suite" bash-static)
  procps=$(unpacked_ensure procps procps_check "$image_suite" procps)
  util_linux=$(unpacked_ensure util-linux util_linux_check "$image_suite" util-linux)
  busybox=$(unpacked_ensure busybox busybox_check "$image_suite" busybox)
  "$tree/packaging/busybox-image" "$file.busybox" >&2
  "$conformance/lib/images" "$file.busybox" "$nginx" "$bash" "$procps" "$util_linux" "$busybox" "$file.new"
  find "$cache" -maxdepth 1 -name 'conformance-images-*' -mtime +7 -delete
  rm "$file.busybox"
  mv "$file.new" "$file"
}

nginx_check() {
  "$1/usr/lib64/ld-linux-x86-64.so.2" --library-path "$1/usr/lib/x86_64-linux-gnu" "$1/usr/sbin/nginx" -v
}
# The static one's shell runs its own applets, whatever there is of their files.
busybox_check() {
  local run=("$1/usr/lib64/ld-linux-x86-64.so.2" --library-path "$1/usr/lib/x86_64-linux-gnu" --argv0 sh "$1/usr/bin/busybox")
  "${run[@]}" -c : && ! PATH='' "${run[@]}" -c ls
}
bash_check() { "$1/usr/bin/bash-static" --version; }
util_linux_check() {
  "$1/usr/lib64/ld-linux-x86-64.so.2" --library-path "$1/usr/lib/x86_64-linux-gnu" "$1/usr/bin/ipcs" -V
}
procps_check() {
  "$1/usr/lib64/ld-linux-x86-64.so.2" --library-path "$1/usr/lib/x86_64-linux-gnu" "$1/usr/bin/pgrep" -V
}
