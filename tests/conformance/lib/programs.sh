# shellcheck shell=bash
# cri-tools' programs, which no Debian package has.

# cri_program crictl|critest: prints where it is. PINION_CRICTL and PINION_CRITEST name one's own; that
# what they name is no program is an error. Without, it is built from its module.
cri_program() {
  local variable=PINION_${1^^}
  local path=${!variable-}
  [[ $path ]] || { cri_tools_ensure "$1" && return; }
  [[ -f $path && -x $path ]] || { echo "$variable: no program '$path'" >&2 && return 2; }
  realpath "$path"
}
