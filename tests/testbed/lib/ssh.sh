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

ssh_push() {
  ssh_prepare "$1"
  scp -q -r -p "${ssh_options[@]}" "$2" "127.0.0.1:$3"
}

ssh_pull() {
  ssh_prepare "$1"
  scp -q -r -p "${ssh_options[@]}" "127.0.0.1:$2" "$3"
}

ssh_close() {
  [[ ! -S $run/$1/ssh.control ]] ||
    ssh -F none -o ControlPath="$run/$1/ssh.control" -O exit 127.0.0.1 >/dev/null 2>&1 || true
}
