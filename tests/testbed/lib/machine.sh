# shellcheck shell=bash
# Life of a machine: up, down, list. Its state is the directory $run/NAME:
#   supervisor.pid qemu.pid   the processes      console qemu.log   what they said
#   port                      of ssh             ready              the machine has booted
#   image                     its image directory        ended              how QEMU ended

# A machine boots in 15 to 25 s; under QEMU's software CPU it sometimes hangs half-way, with every
# task waiting for a disk whose interrupt never comes (README.md). Such a boot is given up and
# begun anew: another one of the same image succeeds.
readonly machine_boot_seconds=${PINION_BOOT_SECONDS:-180}
readonly machine_boot_tries=3

# The pid in FILE, if that process is one of this machine's and alive.
machine_pid() {
  local state=$1 file=$2 pid
  pid=$(cat "$state/$file" 2>/dev/null) || return 1
  { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -e "$state" || return 1
  echo "$pid"
}

machine_runs() { machine_pid "$run/$1" supervisor.pid >/dev/null; }

# The state directory of a machine that is ready, or exit 3.
machine_state() {
  if ! [[ -e $run/$1/ready ]] || ! machine_runs "$1"; then
    [[ ! -e $run/$1/ended ]] || { tail -n 20 "$run/$1/qemu.log" "$run/$1/console" && cat "$run/$1/ended"; } >&2
    fail 3 "no machine '$1' runs (vm up --name $1)"
  fi
  echo "$run/$1"
}

# The port that the kernel chose for QEMU's forward to ssh.
machine_port() {
  ss -Hltnp | sed -n "s/.* 127\.0\.0\.1:\([0-9]*\) .*pid=$1,.*/\1/p" | head -n 1
}

# Follows the console until the machine says that it is ready.
machine_wait() {
  local state=$1 qemu=$2 follow status=0
  exec 8< <(exec timeout "$machine_boot_seconds" tail -n +1 -s 0.2 --pid="$qemu" -F "$state/console" 2>/dev/null)
  follow=$!
  grep -q -m 1 'pinion-testbed: ready' <&8 &
  wait $! || status=1 # a builtin: a signal to this script is served at once
  exec 8<&-
  kill "$follow" 2>/dev/null || true
  return "$status"
}

machine_up() {
  local name=${option[name]} suite=${option[suite]} state=$run/${option[name]} image
  check_suite "$suite"
  [[ ${option[cgroup]} =~ ^v[12]$ ]] || fail 2 "bad --cgroup '${option[cgroup]}': v1 or v2"
  [[ ${option[cgroup]} == v2 || $suite == bookworm ]] ||
    fail 2 "--cgroup v1 needs --suite bookworm (later kernels lack v1 cpuset and memory)"
  [[ ${option[numa]} =~ ^[1-9]$ && ${option[memory]} =~ ^[1-9][0-9]*$ ]] ||
    fail 2 "bad --numa or --memory"
  [[ ${option[init]} =~ ^(systemd)?$ ]] || fail 2 "bad --init '${option[init]}': systemd, or none"
  [[ ! ${option[init]} ]] || option[packages]+=${option[packages]:+,}systemd
  [[ ! ${option[owner]} ]] || kill -0 "${option[owner]}" 2>/dev/null ||
    fail 2 "the owner, process '${option[owner]}', does not run"
  qemu_cpus "${option[smp]}" >/dev/null
  host_prepare
  [[ ${option[packages]} =~ ^([a-z0-9][a-z0-9.+-]*(,|$))*$ ]] ||
    fail 2 "bad --packages '${option[packages]}': names with commas between them"
  image=$(image_ensure "$suite" "${option[packages]}")
  mkdir -p "$run"
  exec 7>"$run/.lock.$name"
  flock 7
  ! machine_runs "$name" || fail 1 "machine '$name' runs already (vm down --name $name)"
  qemu_line "$image" "$state" "${option[smp]}" "${option[numa]}" "${option[memory]}" \
    "pinion.cgroup=${option[cgroup]} pinion.init=${option[init]}"
  # shellcheck disable=SC2064 # the local variable is gone when the trap runs
  trap "machine_down '$name'" EXIT
  trap 'exit 130' INT TERM HUP
  local try started=$SECONDS
  for ((try = 1; ; try++)); do
    say "booting '$name' (${option[suite]}, --smp ${option[smp]})"
    ! machine_boot "$name" "$state" "$image" || break
    ((try < machine_boot_tries)) || fail 1 "the machine did not boot in $machine_boot_tries tries; see the lines above"
  done
  machine_port "$(cat "$state/qemu.pid")" >"$state/port"
  [[ -s $state/port ]] || fail 1 "QEMU listens on no port for ssh"
  : >"$state/ready"
  machine_greet "$name"
  trap - EXIT INT TERM HUP
  say "'$name' is ready after $((SECONDS - started)) s"
}

# The first connection: on a busy host QEMU's network has been seen to reset it (ssh's exit status 255).
machine_greet() {
  local try
  for ((try = 1; try < 5; try++)); do
    ! ssh_exec "$1" true || return 0
    sleep 2
  done
  ssh_exec "$1" true
}

# One try, on fresh state.
machine_boot() {
  local name=$1 state=$2 image=$3 started=$SECONDS supervisor
  machine_down "$name"
  mkdir -p "$state"
  ln -s "$image" "$state/image"
  truncate -s "$transfer_bytes" "$state/transfer"
  printf '%s\n' "${qemu_command[@]}" >"$state/command"
  setsid "$testbed/lib/supervise" "$state" "${option[owner]}" \
    </dev/null >"$state/supervisor.log" 2>&1 7>&- &
  supervisor=$!
  echo "$supervisor" >"$state/supervisor.pid"
  until [[ -s $state/qemu.pid ]]; do
    # A child of ours, and no command line (machine_pid) says so before it has come to its exec.
    kill -0 "$supervisor" 2>/dev/null || fail 1 "the supervisor ended: $(cat "$state/supervisor.log")"
    sleep 0.05
  done
  machine_wait "$state" "$(cat "$state/qemu.pid")" || {
    tail -n 20 "$state/qemu.log" "$state/console" >&2
    say "'$name' did not boot: given up after $((SECONDS - started)) s (limit: $machine_boot_seconds s)"
    return 1
  }
}

machine_down() {
  local name=$1 state=$run/$1 pid
  [[ -d $state ]] || return 0
  ssh_close "$name"
  if pid=$(machine_pid "$state" supervisor.pid); then
    kill "$pid" 2>/dev/null || true
    timeout 20 tail --pid="$pid" -s 0.05 -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -rf "$state"
}

machine_down_all() {
  local state
  for state in "$run"/*/; do
    [[ ! -d $state ]] || machine_down "$(basename "$state")"
  done
}

machine_list() {
  local state name
  for state in "$run"/*/; do
    [[ -d $state ]] || continue
    name=$(basename "$state")
    ! machine_runs "$name" || echo "$name $(basename "$(readlink "$state/image")")"
  done
}
