# shellcheck shell=bash
# cri-tools' programs, which no Debian package has and nothing here builds: the user's own, named in
# the environment or found on PATH.

# cri_program crictl|critest: prints where it is, or nothing if there is none. PINION_CRICTL and
# PINION_CRITEST name one; that what they name is no program is an error.
cri_program() {
  local variable=PINION_${1^^} path
  path=${!variable:-$(command -v "$1" || true)}
  [[ $path ]] || return 0
  [[ -f $path && -x $path ]] || { echo "$variable: no program '$path'" >&2 && return 2; }
  realpath "$path"
}
