#include "tests/topology/boot.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

#include <fstream>
#include <span>
#include <sstream>
#include <utility>
#include <vector>

#include "agent-proto/proto/vmm_control.pb.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/base/subprocess.h"

namespace topology {

namespace {

namespace v1 = pinion::vmm::v1;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kMemoryMib = 192;
enum : uint64_t { kCreateVmId = 1, kConfigureId, kRunId };

// By the node's share of the CPUs (rule R9).
std::vector<uint64_t> SplitMemory(const cpu::CpuPlan& plan, size_t nodes) {
  std::vector<uint64_t> shares(nodes, 0);
  for (const cpu::VcpuPlan& vcpu : plan.vcpus) shares[vcpu.node] += 1;
  uint64_t left = kMemoryMib;
  for (uint64_t& share : shares) {
    share = kMemoryMib * share / plan.vcpus.size();
    left -= share;
  }
  shares.back() += left;
  return shares;
}

// The vmm takes requests in their order: nobody need wait for the answer.
v1::ToVmm CreateVmMessage() {
  v1::ToVmm message;
  message.set_id(kCreateVmId);
  message.mutable_create_vm();
  return message;
}

v1::ToVmm ConfigureMessage(const BootOptions& options, const Case& planned, uint32_t host_nodes) {
  v1::ToVmm message;
  message.set_id(kConfigureId);
  v1::Configure& configure = *message.mutable_configure();
  configure.set_kernel_fd(0);
  configure.set_initrd_fd(1);
  configure.set_console_fd(2);
  configure.set_command_line(std::string("nowatchdog rcupdate.rcu_cpu_stall_suppress=1 ") +
                             (options.talks ? "console=ttyS0 ignore_loglevel" : "loglevel=0"));
  configure.set_memory_mib(kMemoryMib);
  configure.set_cpu_vendor(options.amd ? v1::CPU_VENDOR_AMD : v1::CPU_VENDOR_INTEL);
  for (const cpu::VcpuPlan& plan : planned.plan.vcpus) {
    v1::Vcpu& vcpu = *configure.add_vcpus();
    vcpu.set_index(static_cast<uint32_t>(configure.vcpus_size() - 1));
    vcpu.set_package(plan.package);
    vcpu.set_die(plan.die);
    vcpu.set_core(plan.core);
    vcpu.set_thread(plan.thread);
    vcpu.set_l2(plan.l2);
    vcpu.set_l3(plan.l3);
    vcpu.set_node(plan.node);
  }
  const std::vector<uint64_t> memory = SplitMemory(planned.plan, planned.distances.size());
  for (uint32_t number = 0; number < memory.size(); ++number) {
    v1::Node& node = *configure.add_nodes();
    node.set_memory_mib(memory[number]);
    node.add_host_nodes(number % host_nodes);
    if (memory.size() == 1) break;
    for (const uint32_t distance : planned.distances[number]) node.add_distances(distance);
  }
  return message;
}

// numa_maps(5): the policies of guest memory's mappings, as they follow each other.
base::Result<void> CheckBinding(pid_t vmm, const Case& planned, uint32_t host_nodes) {
  std::vector<std::string> expected, seen;
  for (size_t number = 0; number < planned.distances.size(); ++number) {
    const std::string policy = fmt::format("bind:{}", number % host_nodes);
    if (expected.empty() || expected.back() != policy) expected.push_back(policy);
  }
  std::ifstream maps(fmt::format("/proc/{}/numa_maps", vmm));
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:guest-memory") == std::string::npos) continue;
    std::istringstream words(line);
    std::string address, policy;
    words >> address >> policy;
    if (seen.empty() || seen.back() != policy) seen.push_back(policy);
  }
  if (seen == expected) return base::Ok();
  return base::MakeError(base::Code::kFailedPrecondition,
                         "guest memory: {} expected, numa_maps says {}", fmt::join(expected, " "),
                         fmt::join(seen, " "));
}

base::Result<void> Send(base::BorrowedFd socket, const v1::ToVmm& message,
                        std::span<const base::BorrowedFd> fds = {}) {
  const std::string bytes = message.SerializeAsString();
  return base::SendMessage(socket, std::as_bytes(std::span(bytes)), fds);
}

base::Result<v1::FromVmm> Receive(base::BorrowedFd socket, Clock::time_point deadline) {
  pollfd watched{.fd = socket.get(), .events = POLLIN, .revents = 0};
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (left <= 0 || poll(&watched, 1, static_cast<int>(left)) <= 0) {
    return base::MakeError(base::Code::kDeadlineExceeded, "no message from the vmm in time");
  }
  std::vector<std::byte> buffer(64 << 10);
  const base::SocketMessage received = TRY(base::ReceiveMessage(socket, buffer, 8));
  v1::FromVmm message;
  if (received.size == 0 ||
      !message.ParseFromArray(buffer.data(), static_cast<int>(received.size))) {
    return base::MakeError(base::Code::kUnavailable, "the vmm hung up");
  }
  if (message.code() != 0) return base::Error(base::Code::kInternal, message.message());
  return message;
}

base::Result<void> Serve(base::BorrowedFd socket, pid_t vmm, const BootOptions& options,
                         const Case& planned, uint32_t host_nodes) {
  const Clock::time_point deadline = Clock::now() + options.limit;
  while (true) {
    const v1::FromVmm message = TRY(Receive(socket, deadline));
    if (message.id() == kConfigureId) {
      TRY(CheckBinding(vmm, planned, host_nodes));
      v1::ToVmm run;
      run.set_id(kRunId);
      run.mutable_run();
      TRY(Send(socket, run));
    }
    if (!message.has_exited()) continue;
    if (message.exited().reason() == v1::Exited::POWER_OFF) return base::Ok();
    return base::MakeError(base::Code::kUnavailable, "the guest ended by {}",
                           message.exited().detail());
  }
}

}  // namespace

base::Result<std::string> Boot(const BootOptions& options, const Case& planned,
                               uint32_t host_nodes) {
  TRY(base::MakeDirectories(options.directory));
  const std::string path = options.directory + "/console";
  const base::UniqueFd kvm = TRY(base::Open("/dev/kvm", O_RDWR));
  const base::UniqueFd kernel = TRY(base::Open(options.kernel, O_RDONLY));
  const base::UniqueFd initrd = TRY(base::Open(options.initrd, O_RDONLY));
  const base::UniqueFd console = TRY(base::Open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600));
  const base::UniqueFd log =
      TRY(base::Open(options.directory + "/log", O_CREAT | O_TRUNC | O_WRONLY, 0600));
  auto [ours, theirs] = TRY(base::SocketPair(SOCK_SEQPACKET));
  base::Subprocess vmm =
      TRY(base::Subprocess::Spawn({.program = options.vmm,
                                   .argv = {"pinion-vmm", "--uid", "54321", "--gid", "54321"},
                                   .fds = {{theirs, 3}, {log, 2}},
                                   .clone_flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                                                  CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP}));
  theirs.Reset();
  const base::BorrowedFd kvm_fds[] = {kvm};
  const base::BorrowedFd fds[] = {kernel, initrd, console};
  base::Result<void> served = Send(ours, CreateVmMessage(), kvm_fds);
  if (served) served = Send(ours, ConfigureMessage(options, planned, host_nodes), fds);
  if (served) served = Serve(ours, vmm.pid(), options, planned, host_nodes);
  TRY(vmm.Signal(SIGKILL));
  TRY(vmm.Wait());
  TRY(std::move(served));
  return base::ReadFile(path);
}

}  // namespace topology
