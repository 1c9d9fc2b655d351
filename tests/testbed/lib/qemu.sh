# shellcheck shell=bash
# The QEMU command line of a machine.

# Number of CPUs of an -smp value such as "8,sockets=2,cores=2,threads=2".
qemu_cpus() {
  local cpus=${1%%,*}
  [[ ${cpus#cpus=} =~ ^[1-9][0-9]*$ ]] || fail 2 "bad --smp '$1': it must begin with a number"
  echo "${cpus#cpus=}"
}

# -numa arguments: NODES nodes which share CPUs and memory evenly, in order.
qemu_numa() {
  local nodes=$1 cpus=$2 memory=$3 node each=$(($2 / $1))
  ((cpus % nodes == 0 && memory % nodes == 0)) ||
    fail 2 "--numa $nodes does not divide $cpus CPUs and $memory MiB"
  for ((node = 0; node < nodes; node++)); do
    echo -object "memory-backend-ram,id=ram$node,size=$((memory / nodes))M"
    echo -numa "node,nodeid=$node,cpus=$((node * each))-$(((node + 1) * each - 1)),memdev=ram$node"
  done
}

# The CPU. EPYC-Rome and not EPYC: on family 17h model 1 Linux takes the L3 as 8 APIC ids whatever
# CPUID says. The features taken away are those that QEMU's software CPU has not (it would warn of
# each). tsc=reliable: Linux distrusts the TSC of such a CPU, and the clock devices it takes instead
# are slow here and keep KVM from giving nested guests a stable kvm-clock. no_timer_check: Linux counts
# the 8254's interrupts over a moment of the TSC, and panics on a host too busy to emulate them.
readonly qemu_cpu=EPYC-Rome,+svm,+npt,-fxsr-opt,-misalignsse,-osvw,-topoext,-perfctr-core,\
-clzero,-ibpb,-amd-stibp,-nrip-save,-xsavec,-xsaves
readonly qemu_kernel_line="console=ttyS0 quiet loglevel=4 panic=-1 audit=0 apparmor=0 nowatchdog \
mitigations=off tsc=reliable no_timer_check rcupdate.rcu_cpu_stall_suppress=1 numa_balancing=disable"

# Size of the disk over which large files are pushed (ssh.sh); sparse.
readonly transfer_bytes=$((4 << 30))

# Fills qemu_command.
qemu_line() {
  local image=$1 state=$2 smp=$3 numa=$4 memory=$5 words=$6 cpus numa_arguments emulator
  cpus=$(qemu_cpus "$smp")
  numa_arguments=$(qemu_numa "$numa" "$cpus" "$memory")
  emulator=$(emulator_ensure)
  mapfile -t qemu_command < <(emulator_command "$emulator")
  # shellcheck disable=SC2206
  qemu_command+=(-L "$emulator/usr/share/qemu" -L "$emulator/usr/share/seabios" -nodefaults -no-user-config -display none -no-reboot
    -name "pinion-testbed" -M q35,hpet=off -accel "tcg,thread=multi,tb-size=512"
    -cpu "$qemu_cpu" -smp "$smp" -m "${memory}M" $numa_arguments
    -kernel "$image/vmlinuz" -initrd "$image/initrd"
    -append "$qemu_kernel_line $words"
    -drive "file=${image//,/,,}/disk,format=raw,if=virtio,snapshot=on,cache=unsafe"
    -drive "file=$state/transfer,format=raw,if=virtio"
    -nic "user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"
    -device virtio-rng-pci -serial "file:$state/console")
}
