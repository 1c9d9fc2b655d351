# Shared by every e2e test. A test is a script of its own that runs as root on a machine with
# containerd, Pinion installed and the test image imported (tests/testbed/vm install). It prints
# nothing that matters when it passes; it ends with `fail` and a reason when it does not, or with
# `skip` and a reason. Whatever it started must be gone when it ends: the EXIT trap compares.
set -euo pipefail

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
IMAGE=${PINION_IMAGE:-docker.io/library/pinion-busybox:latest}
RUNTIME=io.containerd.pinion.v2
TEST=$(basename "$0")
ID=e2e-$TEST
CONFIG=${PINION_CONFIG:-/etc/pinion/config.toml}
WORK=$(mktemp -d "/run/e2e-$TEST.XXXXXX")
# How long a guest may take to be there; an emulated machine needs minutes.
BOOT_SECONDS=${PINION_BOOT_SECONDS:-600}

# ctr gives up a connection after 10 s, which under load is nothing to an emulated machine.
# (A ctr in the background that is to be killed by its pid: "$(type -P ctr)".)
ctr() { command ctr --connect-timeout "${BOOT_SECONDS}s" "$@"; }

fail() {
  echo "FAIL: $*" >&2
  exit 1
}

# Exit status 77 is a skip (as automake has it); the reason is the last line of standard output.
skip() {
  echo "$*"
  trap - EXIT
  rm -rf "$WORK"
  exit 77
}

# Everything that a container may leave on a host.
state_of_host() {
  ps -eo args= | grep -E 'pinion-vmm|containerd-shim-pinion|virtiofsd' | grep -vE 'grep|/e2e/' | sort || true
  awk '{print "mount", $5}' /proc/self/mountinfo | grep -vE ' /run/e2e-' | sort
  find /run/containerd/s /run/pinion -mindepth 1 \( -type s -o -type d -o -type f \) 2>/dev/null |
    grep -vE '/(lock|[^/]*\.lock)$' | sort || true
  find /sys/fs/cgroup -mindepth 1 -type d | sort
  ls /sys/class/net
}

# Waits until `$@` succeeds, at most $1 seconds.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.3
  done
}

nothing_left() {
  state_of_host >"$WORK/after"
  diff "$WORK/before" "$WORK/after" >"$WORK/diff"
}

# What each machine that is still there was doing: for a test that stood still.
tell_machines() {
  local dir vmm
  for dir in /run/pinion/*/*/; do
    [ -e "$dir/console.log" ] || continue
    echo "--- $dir: the end of the console"
    tail -n 5 "$dir/console.log" | cut -c 1-300
  done
  for vmm in $(pgrep -x pinion-vmm); do
    echo "--- pinion-vmm $vmm: thread, state, ticks of CPU now and a second later"
    (cd "/proc/$vmm/task" && cat ./*/stat && sleep 1 && cat ./*/stat) | awk '{print $2, $3, $14 + $15}' | sort
  done
}

finish() {
  local status=$?
  trap - EXIT
  if [ $status != 0 ]; then
    {
      tell_machines 2>/dev/null || true
      echo "--- $TEST: the end of containerd's log"
      tail -n "${PINION_LOG_LINES:-40}" "${PINION_CONTAINERD_LOG:-/var/log/containerd.log}" 2>/dev/null || true
    } >&2
  fi
  for id in $(ctr container ls -q | grep "^$ID" || true); do
    ctr task kill -s KILL "$id" >/dev/null 2>&1 || true
    ctr task rm -f "$id" >/dev/null 2>&1 || true
    ctr container rm "$id" >/dev/null 2>&1 || true
  done
  # Pods that end_cri_pod did not come to.
  if [ -e "$WORK/crictl.yaml" ] && [ $status != 0 ]; then cri rmp -a -f >/dev/null 2>&1 || true; fi
  pkill -f "^ctr .* $ID" || true # of functions in the background, whose shells are the jobs
  jobs -p | xargs -r kill 2>/dev/null || true
  if [ $status = 0 ] && ! within 60 nothing_left; then
    echo "FAIL: left behind ('>') or gone missing ('<'):" >&2
    cat "$WORK/diff" >&2
    status=1
  fi
  rm -rf "$WORK"
  exit $status
}

# ctr run of $IMAGE under Pinion: run_container ID [ctr options] -- ARG...
run_container() {
  local id=$1 options=()
  shift
  while [ "$1" != -- ]; do options+=("$1") && shift; done
  shift
  ctr run --rm --runtime "$RUNTIME" --runtime-config-path "$CONFIG" "${options[@]}" "$IMAGE" "$id" "$@"
}

# A configuration that differs from the installed one: config_with KEY=VALUE..., where KEY is
# section.key. Sets CONFIG.
config_with() {
  CONFIG=$WORK/config.toml
  python_free_toml "$@" >"$CONFIG"
}

# Appends or replaces keys in the installed TOML, section by section, with awk alone.
python_free_toml() {
  awk -v changes="$(printf '%s\n' "$@")" '
    BEGIN {
      count = split(changes, lines, "\n")
      for (i = 1; i <= count; i++) {
        key = lines[i]; sub(/=.*/, "", key)
        value = lines[i]; sub(/^[^=]*=/, "", value)
        section = key; sub(/\.[^.]*$/, "", section)
        name = key; sub(/^.*\./, "", name)
        wanted[section, name] = value
        names[section] = names[section] " " name
        sections[section] = 1
      }
    }
    function flush_section(s,   n, parts, k) {
      n = split(names[s], parts, " ")
      for (k = 1; k <= n; k++) print parts[k] " = " wanted[s, parts[k]]
      delete sections[s]
    }
    /^\[/ {
      print
      current = $0; gsub(/[][ \t]/, "", current)
      if (current in sections) flush_section(current)
      next
    }
    {
      key = $0; sub(/[ \t]*=.*/, "", key)
      if ((current, key) in wanted) next
      print
    }
    END { for (s in sections) { print "[" s "]"; flush_section(s) } }
  ' "${PINION_CONFIG:-/etc/pinion/config.toml}" 2>/dev/null
}

# Runs a container from a directory with a spec of its own: the image's files, writable.
make_rootfs() {
  ROOTFS=$WORK/rootfs
  mkdir -p "$ROOTFS"
  cp -a "${PINION_ROOTFS:-/opt/pinion-e2e/rootfs}/." "$ROOTFS/"
}
run_spec() {
  local id=$1
  ctr run --rm --runtime "$RUNTIME" --runtime-config-path "$CONFIG" --config "$WORK/config.json" "$id"
}

# expect_error PATTERN COMMAND...: the command fails and says so, in words that match.
expect_error() {
  local pattern=$1 status=0
  shift
  "$@" >"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
  [ $status != 0 ] || fail "succeeded, but an error matching /$pattern/ was due"
  grep -qE "$pattern" "$WORK/err" || fail "the error does not match /$pattern/: $(cat "$WORK/err")"
}

# Host pids of the parts of container ID.
shim_of() { pgrep -f "containerd-shim-pinion-v2.* -id $1( |\$)" | head -n 1; }
vmm_of() { pgrep -x pinion-vmm -P "$(shim_of "$1")"; }
virtiofsd_of() { pgrep -f virtiofsd -P "$(shim_of "$1")" | head -n 1; }

# "vcpu0 2", a line for each vCPU thread of vmm PID: where it may run.
masks_of_vcpus() {
  local task
  for task in /proc/"$1"/task/*; do
    case $(cat "$task/comm") in
      vcpu*) echo "$(cat "$task/comm") $(awk '/^Cpus_allowed_list/ {print $2}' "$task/status")" ;;
    esac
  done
}
# /proc/PID/task/TID of vCPU INDEX of vmm PID: vcpu_task PID INDEX.
vcpu_task() { dirname "$(grep -lx "vcpu$2" /proc/"$1"/task/*/comm)"; }
# The directory of a task's cgroup, v1 or v2: cgroup_of CONTROLLER /proc/PID[/task/TID].
cgroup_of() {
  local path
  path=$(awk -F: -v controller="$1" '("," $2 ",") ~ ("," controller ",") {print $3}' "$2/cgroup")
  if [ -n "$path" ]; then
    echo "/sys/fs/cgroup/$1$path"
  else
    echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "$2/cgroup")"
  fi
}
# As cpu.max has it ("50000 100000"), of a directory of either version.
cpu_limit_in() {
  if [ -e "$1/cpu.max" ]; then
    cat "$1/cpu.max"
  else
    echo "$(cat "$1/cpu.cfs_quota_us")" "$(cat "$1/cpu.cfs_period_us")" | sed 's/^-1 /max /'
  fi
}
# Fails unless RAM of vmm PID's guest is bound to host nodes NODE..., one after the other, and is
# nowhere else (numa_maps of proc(5)): ram_is_on PID NODE...
ram_is_on() {
  local vmm=$1 policy pages
  grep memfd:guest-memory "/proc/$vmm/numa_maps" >"$WORK/ram" || fail "no guest RAM in numa_maps"
  shift
  [ "$(awk '{print $2}' "$WORK/ram" | uniq | tr '\n' ' ')" = "$(printf 'bind:%s ' "$@")" ] ||
    fail "guest RAM is to be on nodes $*: $(cat "$WORK/ram")"
  while read -r _ policy pages; do
    for pages in $(grep -oE '\bN[0-9]+=' <<<"$pages"); do
      [ "$pages" = "N${policy#bind:}=" ] || fail "pages outside $policy: $(cat "$WORK/ram")"
    done
  done <"$WORK/ram"
}
# The CPU plan in force of pod ID.
plan_of() { find /run/pinion -path "*/$1/plan.json"; }
# What the shim of container ID announced.
address_of() { cat "$(find /run -maxdepth 5 -type d -path "*/io.containerd.runtime.v2.task/default/$1" | head -n 1)/address"; }
# task_update ID RESOURCES: Task.Update at the shim, which ctr has no command for.
task_update() { "$E2E/task_client" "$(address_of "${1%-unknown}")" update "$1" "$2"; }

task_status() { ctr task ls | awk -v id="$1" '$1 == id {print $3}'; }
task_pid() { ctr task ls | awk -v id="$1" '$1 == id {print $2}'; }
status_is() { [ "$(task_status "$1")" = "$2" ]; }

# A pod by CRI's annotations, without CRI. Needs make_rootfs first.
# pod_container POD ID KIND HOSTNAME NAMESPACES ARG...: one of its containers, detached; with
# MEMORY_LIMIT bytes at most, if that is set.
pod_container() {
  local pod=$1 id=$2 kind=$3 hostname=$4 namespaces=$5
  shift 5
  ID=$id "$E2E/oci-spec" --root "$ROOTFS" ${MEMORY_LIMIT:+--memory "$MEMORY_LIMIT"} -- "$@" | tr '\n' ' ' |
    sed -E "s|\"hostname\": \"pinion\"|\"hostname\": \"$hostname\", \"annotations\": {\"io.kubernetes.cri.container-type\": \"$kind\", \"io.kubernetes.cri.sandbox-id\": \"$pod\"}|
      s|\"namespaces\": *\[[^]]*\]|\"namespaces\": [$namespaces]|" >"$WORK/$id.json"
  ctr run -d --runtime "$RUNTIME" --runtime-config-path "$CONFIG" --config "$WORK/$id.json" "$id" </dev/null
}
# start_pod POD HOSTNAME: its sandbox container.
start_pod() {
  pod_container "$1" "$1" sandbox "$2" \
    '{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}' /pause ||
    fail "the sandbox container of $1: status $?"
  status_is "$1" RUNNING || fail "the sandbox container $1 is $(task_status "$1")"
}
# start_member POD ID PID-NAMESPACE ARG...: a container that shares what CRI lets containers share.
start_member() {
  local pod=$1 id=$2 pid_namespace=$3 of
  shift 3
  of=/proc/$(task_pid "$pod")/ns
  local shared="{\"type\": \"ipc\", \"path\": \"$of/ipc\"}, {\"type\": \"uts\", \"path\": \"$of/uts\"}, {\"type\": \"network\", \"path\": \"$of/net\"}"
  pod_container "$pod" "$id" container '' "$shared, {\"type\": \"mount\"}, $pid_namespace" "$@"
}
# end_container ID: killed, and removed once it has stopped.
end_container() {
  ctr task kill -s KILL "$1"
  within 60 status_is "$1" STOPPED || fail "$1 is $(task_status "$1") after SIGKILL"
  ctr task rm "$1" >/dev/null 2>&1 || true # the exit status of what was killed
  ctr container rm "$1"
}

# crictl on this machine's containerd, with the test image; skips where there is none.
use_crictl() {
  command -v crictl >/dev/null || skip "crictl is not installed (no Debian package has it)"
  cat >"$WORK/crictl.yaml" <<EOF
runtime-endpoint: unix:///run/containerd/containerd.sock
image-endpoint: unix:///run/containerd/containerd.sock
timeout: 300
EOF
  ctr -n k8s.io image import /usr/local/share/pinion/busybox.tar >/dev/null
  mkdir "$WORK/logs"
}
cri() { crictl --config "$WORK/crictl.yaml" "$@"; }
# cri_pod EXTRA-JSON [HANDLER]: its configuration is in $WORK/pod.json; sets $pod.
cri_pod() {
  cat >"$WORK/pod.json" <<EOF
{"metadata": {"name": "$ID", "namespace": "default", "uid": "$ID", "attempt": 1}, "hostname": "the-pod",
 "log_directory": "$WORK/logs"${1:+, $1}}
EOF
  pod=$(cri runp --runtime="${2:-pinion}" "$WORK/pod.json" 2>"$WORK/err") || fail "runp: $(cat "$WORK/err")"
}
# cri_container NAME SCRIPT [LINUX-JSON [EXTRA-JSON]]: creates and starts it; prints its id.
cri_container() {
  local id
  cat >"$WORK/$1.json" <<EOF
{"metadata": {"name": "$1"}, "image": {"image": "$IMAGE"}, "command": ["sh", "-c", "$2"], "log_path": "$1.log",
 "linux": {${3:-}}${4:+, $4}}
EOF
  id=$(cri create "$pod" "$WORK/$1.json" "$WORK/pod.json") && cri start "$id" >/dev/null || return
  echo "$id"
}
in_log() { grep -q "$2" "$WORK/logs/$1.log"; }
end_cri_pod() {
  cri stopp "$pod" >/dev/null && cri rmp -f "$pod" >/dev/null || fail "stopp and rmp"
  within 60 sh -c '! pgrep -x pinion-vmm >/dev/null' || fail "the machine outlived its pod"
  # The bridge plugin leaves its bridge for the next pod.
  if [ -e /sys/class/net/cni0 ] && ! grep -qx cni0 "$WORK/before"; then ip link delete cni0; fi
}

# A container in the background that says "up" and sleeps until it is killed. Its ctr's exit status
# goes to $WORK/status.
start_sleeper() {
  local id=$1
  shift
  (
    status=0
    run_container "$id" "$@" -- sh -c 'echo up; exec sleep 100000' >"$WORK/out" 2>"$WORK/err" || status=$?
    echo $status >"$WORK/status"
  ) &
  within "$BOOT_SECONDS" sleeper_is_up || fail "the container never came up: $(cat "$WORK/err")"
  [ ! -s "$WORK/status" ] || fail "the container ended at once: $(cat "$WORK/err")"
}
sleeper_is_up() { grep -q '^up$' "$WORK/out" 2>/dev/null || [ -s "$WORK/status" ]; }
sleeper_ended() { [ -s "$WORK/status" ]; }

state_of_host >"$WORK/before"
trap finish EXIT
