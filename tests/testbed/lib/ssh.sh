# shellcheck shell=bash
# Commands and files into a machine: one ssh connection each machine, shared by all commands, since
# a key exchange takes seconds on an emulated CPU.

# Fills ssh_options for the machine NAME.
ssh_prepare() {
  local state
  state=$(machine_state "$1") || exit
  ssh_options=(-F none -o Port="$(cat "$state/port")" -o User=root -o IdentitiesOnly=yes
    -o IdentityFile="$cache/ssh/user" -o UserKnownHostsFile="$cache/ssh/known_hosts"
    -o HostKeyAlias=pinion-testbed -o StrictHostKeyChecking=yes -o CheckHostIP=no
    -o LogLevel=ERROR -o BatchMode=yes -o ConnectTimeout=120 -o ServerAliveInterval=60
    -o ServerAliveCountMax=10 -o ControlMaster=auto -o ControlPath="$state/ssh.control"
    -o ControlPersist=yes -o Compression=no)
}

# Each argument reaches the command as it is: the login shell there is bash, so @Q is enough.
ssh_exec() {
  local name=$1
  shift
  ssh_prepare "$name"
  # The connection's master outlives this command, so it must not hold the caller's pipes.
  ssh "${ssh_options[@]}" -O check 127.0.0.1 2>/dev/null ||
    ssh "${ssh_options[@]}" -N -f 127.0.0.1 </dev/null >/dev/null 2>&1 7>&- || true
  ssh "${ssh_options[@]}" -T 127.0.0.1 "exec ${*@Q}"
}

# A copy of more than this many bytes goes over the transfer disk.
readonly transfer_threshold=2000000

ssh_push() {
  local name=$1 source=$2 target=$3 bytes
  bytes=$(du -sb "$source" | cut -f 1)
  if ((bytes > transfer_threshold)); then
    transfer_push "$name" "$source" "$target"
  else
    ssh_prepare "$name"
    scp -q -r -p "${ssh_options[@]}" "$source" "127.0.0.1:$target"
  fi
}

# Large files go as a tar archive over /dev/vdb, a file of the host: ssh brings 3 MB/s, since the
# emulated CPU must decrypt, this some 50. DST means what it means for scp: a directory that exists
# takes SRC into it, otherwise it is the new name; SRC/. is the contents.
transfer_push() {
  local name=$1 source=$2 target=$3 state disk bytes
  state=$(machine_state "$name") || exit
  disk=$state/transfer
  (
    flock 6
    if [[ $source == */. ]]; then
      tar -C "$source" --numeric-owner -cf "$disk.tar" .
    else
      tar -C "$(dirname "$source")" --numeric-owner -cf "$disk.tar" \
        --transform "s,^$(basename "$source" | sed 's/[.[\*^$,]/\\&/g'),content,rSH" -- "$(basename "$source")"
    fi
    bytes=$(stat -c %s "$disk.tar")
    ((bytes <= transfer_bytes)) || fail 1 "$source is too large to push ($bytes bytes)"
    dd if="$disk.tar" of="$disk" bs=1M conv=notrunc status=none
    rm "$disk.tar"
    ssh_exec "$name" testbed-receive "$((bytes / 512))" "$(basename "$source")" "$target"
  ) 6>>"$state/transfer.lock"
}

ssh_pull() {
  ssh_prepare "$1"
  scp -q -r -p "${ssh_options[@]}" "127.0.0.1:$2" "$3"
}

ssh_close() {
  [[ ! -S $run/$1/ssh.control ]] ||
    ssh -F none -o ControlPath="$run/$1/ssh.control" -O exit 127.0.0.1 >/dev/null 2>&1 || true
}
