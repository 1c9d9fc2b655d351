// CPUs of a running guest come and go, again and again, while all of them are busy. Plays the shim
// to one jailed pinion-vmm whose guest runs guest_init.cc.
//
//   hotplug_host_side PINION_VMM VMLINUX INITRD ROUNDS DIRECTORY [intel|amd]
//
// Three of four vCPUs come later; each round adds one, two or all of them, in turn, waits until the
// guest says that they are online, and takes them back. Looked at: every answer, the guest's own
// count, that a refused request changes nothing, and that the vmm has no thread and no descriptor
// more at the end than at the start. Exit status 0 if all was well.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "agent-proto/proto/vmm_control.pb.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/base/subprocess.h"

namespace {

namespace v1 = pinion::vmm::v1;
namespace fs = std::filesystem;
using base::Result;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kVcpus = 4;
// An emulated guest takes seconds to bring a CPU up.
constexpr std::chrono::seconds kPatience{400};

base::Error Wrong(std::string text) {
  return base::MakeError(base::Code::kFailedPrecondition, "{}", text);
}

size_t CountOf(pid_t pid, const char* folder) {
  const fs::path path = fs::path("/proc") / std::to_string(pid) / folder;
  return static_cast<size_t>(std::distance(fs::directory_iterator(path), {}));
}

class Host {
 public:
  Host(base::UniqueFd socket, pid_t vmm, std::string console)
      : socket_(std::move(socket)), vmm_(vmm), console_(std::move(console)) {}

  Result<void> Send(v1::ToVmm message, std::span<const base::BorrowedFd> fds = {}) {
    message.set_id(++id_);
    const std::string bytes = message.SerializeAsString();
    return base::SendMessage(socket_, std::as_bytes(std::span(bytes)), fds);
  }

  Result<v1::FromVmm> Receive() {
    pollfd watched{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    const int limit = static_cast<int>(std::chrono::milliseconds(kPatience).count());
    if (poll(&watched, 1, limit) != 1) return Wrong("the vmm does not answer");
    std::vector<std::byte> buffer(64 << 10);
    const base::SocketMessage received = TRY(base::ReceiveMessage(socket_, buffer, 8));
    v1::FromVmm message;
    if (received.size == 0 ||
        !message.ParseFromArray(buffer.data(), static_cast<int>(received.size))) {
      return Wrong("the vmm hung up");
    }
    return message;
  }

  Result<v1::FromVmm> Ask(const v1::ToVmm& message, std::span<const base::BorrowedFd> fds = {}) {
    TRY(Send(message, fds));
    const v1::FromVmm answer = TRY(Receive());
    if (answer.has_exited()) return Wrong("the guest ended: " + answer.exited().detail());
    return answer;
  }

  Result<void> MustDo(const v1::ToVmm& message, std::span<const base::BorrowedFd> fds = {}) {
    const v1::FromVmm answer = TRY(Ask(message, fds));
    if (answer.code() != 0) return Wrong("refused: " + answer.message());
    return base::Ok();
  }

  Result<void> Resize(bool add, uint32_t first, uint32_t count) {
    v1::ToVmm message;
    auto* indices = add ? message.mutable_add_cpus()->mutable_indices()
                        : message.mutable_remove_cpus()->mutable_indices();
    for (uint32_t i = 0; i < count; ++i) indices->Add(first + i);
    const v1::FromVmm answer = TRY(Ask(message));
    if (answer.code() != 0 || answer.cpus_size() != static_cast<int>(count)) {
      return Wrong(fmt::format("{} of {} CPUs: {} done: {}", add ? "adding" : "removing", count,
                               answer.cpus_size(), answer.message()));
    }
    return base::Ok();
  }

  Result<void> MustRefuse(bool add, uint32_t cpu) {
    const Result<void> done = Resize(add, cpu, 1);
    if (done) return Wrong(fmt::format("CPU {}: should have been refused", cpu));
    return base::Ok();
  }

  // Until the last "online" line says `list`.
  Result<void> WaitForOnline(const std::string& list) {
    const auto end = Clock::now() + kPatience;
    std::string last;
    while (Clock::now() < end) {
      const std::string text = TRY(base::ReadFile(console_));
      const size_t line = text.rfind("online ");
      if (line != std::string::npos) {
        const size_t stop = text.find('\n', line);
        last = text.substr(line + 7, stop == std::string::npos ? stop : stop - line - 7);
        if (last == list && stop != std::string::npos) return base::Ok();
      }
      usleep(20'000);
    }
    return Wrong("online in the guest: \"" + last + "\" and not \"" + list + "\"");
  }

  Result<void> Storm(int rounds) {
    TRY(WaitForOnline("0"), "boot");
    TRY(MustRefuse(false, 0), "the CPU that booted");
    TRY(MustRefuse(false, 1), "a CPU that is not there");
    TRY(MustRefuse(true, 0), "a CPU that is there");
    TRY(MustRefuse(true, kVcpus), "a CPU that cannot be");
    const size_t threads = CountOf(vmm_, "task");
    const size_t files = CountOf(vmm_, "fd");
    const auto start = Clock::now();
    for (int round = 0; round < rounds; ++round) {
      const uint32_t count = 1 + static_cast<uint32_t>(round) % (kVcpus - 1);
      TRY(Resize(true, 1, count), "round {}", round);
      TRY(WaitForOnline(fmt::format("0-{}", count)), "round {}", round);
      TRY(Resize(false, 1, count), "round {}", round);
      TRY(WaitForOnline("0"), "round {}", round);
      if (round % 20 == 19) {
        const auto spent = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start);
        std::cout << "host: " << round + 1 << " rounds, " << spent.count() << " s" << std::endl;
      }
    }
    if (CountOf(vmm_, "task") != threads || CountOf(vmm_, "fd") != files) {
      return Wrong(fmt::format("{} threads and {} descriptors became {} and {}", threads, files,
                               CountOf(vmm_, "task"), CountOf(vmm_, "fd")));
    }
    const v1::FromVmm last = TRY(Receive());
    if (last.has_exited() && last.exited().reason() == v1::Exited::POWER_OFF) return base::Ok();
    return Wrong("ended by " + last.exited().detail());
  }

 private:
  base::UniqueFd socket_;
  const pid_t vmm_;
  const std::string console_;
  uint64_t id_ = 0;
};

v1::ToVmm ConfigureMessage(const std::string& rounds, const std::string& vendor) {
  v1::ToVmm message;
  v1::Configure& configure = *message.mutable_configure();
  configure.set_kernel_fd(0);
  configure.set_initrd_fd(1);
  configure.set_console_fd(2);
  configure.set_command_line("nowatchdog rcupdate.rcu_cpu_stall_suppress=1 loglevel=0 rounds=" +
                             rounds);
  configure.set_memory_mib(192);
  if (vendor == "intel") configure.set_cpu_vendor(v1::CPU_VENDOR_INTEL);
  if (vendor == "amd") configure.set_cpu_vendor(v1::CPU_VENDOR_AMD);
  for (uint32_t i = 0; i < kVcpus; ++i) {
    v1::Vcpu& vcpu = i == 0 ? *configure.add_vcpus() : *configure.add_later_vcpus();
    vcpu.set_index(i);
    // Two cores of two threads.
    vcpu.set_core(i / 2);
    vcpu.set_thread(i % 2);
    vcpu.set_l2(i / 2);
  }
  return message;
}

Result<void> Run(const std::vector<std::string>& arguments) {
  const std::string directory = arguments[4];
  TRY(base::MakeDirectories(directory));
  const base::UniqueFd kvm = TRY(base::Open("/dev/kvm", O_RDWR));
  const base::UniqueFd kernel = TRY(base::Open(arguments[1], O_RDONLY));
  const base::UniqueFd initrd = TRY(base::Open(arguments[2], O_RDONLY));
  const base::UniqueFd console =
      TRY(base::Open(directory + "/console", O_CREAT | O_TRUNC | O_WRONLY, 0600));
  auto [ours, theirs] = TRY(base::SocketPair(SOCK_SEQPACKET));
  base::Subprocess vmm =
      TRY(base::Subprocess::Spawn({.program = arguments[0],
                                   .argv = {"pinion-vmm", "--uid", "54321", "--gid", "54321"},
                                   .fds = {{theirs, 3}, {base::BorrowedFd(2), 2}},
                                   .clone_flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                                                  CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP}));
  theirs.Reset();
  Host host(std::move(ours), vmm.pid(), directory + "/console");
  const base::BorrowedFd kvm_fds[] = {kvm};
  const base::BorrowedFd fds[] = {kernel, initrd, console};
  v1::ToVmm create;
  create.mutable_create_vm();
  v1::ToVmm run;
  run.mutable_run();
  Result<void> result = host.MustDo(create, kvm_fds);
  if (result) {
    result =
        host.MustDo(ConfigureMessage(arguments[3], arguments.size() > 5 ? arguments[5] : ""), fds);
  }
  if (result) result = host.MustDo(run);
  if (result) result = host.Storm(atoi(arguments[3].c_str()));
  TRY(vmm.Signal(SIGKILL));
  TRY(vmm.Wait());
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 5 || arguments.size() > 6) {
    std::cerr << "usage: " << argv[0]
              << " PINION_VMM VMLINUX INITRD ROUNDS DIRECTORY [intel|amd]\n";
    return 2;
  }
  const auto ran = Run(arguments);
  if (!ran) std::cerr << "hotplug: " << ran.error().Trail() << "\n";
  return ran ? 0 : 1;
}
