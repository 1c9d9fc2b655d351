// Plays the shim to one pinion-vmm whose guest runs guest_init.cc: spawns it as the shim does,
// gives it a disk, a read-only disk, a share with a virtiofsd, a vsock and an rng, echoes what the
// guest sends, and judges the vmm's jail from outside. Needs root, /dev/kvm and virtiofsd.
//
//   vmm_host_side PINION_VMM VIRTIOFSD VMLINUX INITRD DIRECTORY
//
// Exit status: 0 if every probe is ok; the console and what failed are on standard output.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "agent-proto/proto/vmm_control.pb.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"
#include "runtime/base/subprocess.h"
#include "tests/vmm/plan.h"

namespace {

namespace v1 = pinion::vmm::v1;
namespace fs = std::filesystem;
using base::Result;

constexpr uint32_t kUid = 54321;
enum : uint64_t { kCreateVmId = 1, kConfigureId, kRunId };
int failures = 0;

void Expect(bool condition, const std::string& what) {
  std::cout << (condition ? "host: ok " : "host: FAILED ") << what << std::endl;
  if (!condition) ++failures;
}

void Echo(base::UniqueFd stream) {
  std::string all;
  char part[16384];
  for (ssize_t got; (got = read(stream.get(), part, sizeof(part))) > 0;) {
    all.append(part, static_cast<size_t>(got));
  }
  (void)base::WriteAll(stream, all);
}

std::map<std::string, std::string> Status(const fs::path& path) {
  std::map<std::string, std::string> fields;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, value;
    words >> name >> value;
    fields[name] = value;
  }
  return fields;
}

void JudgeJail(pid_t pid) {
  const fs::path proc = "/proc/" + std::to_string(pid);
  auto status = Status(proc / "status");
  Expect(status["Uid:"] == std::to_string(kUid), "uid " + status["Uid:"]);
  for (const char* set : {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"}) {
    Expect(status[set] == "0000000000000000", set + status[set]);
  }
  Expect(status["NoNewPrivs:"] == "1", "NoNewPrivs " + status["NoNewPrivs:"]);
  int threads = 0;
  for (const auto& task : fs::directory_iterator(proc / "task")) {
    ++threads;
    std::ifstream comm(task.path() / "comm");
    std::string name;
    std::getline(comm, name);
    const std::string mode = Status(task.path() / "status")["Seccomp:"];
    Expect(mode == "2", "thread " + name + " Seccomp " + mode);
  }
  Expect(threads >= 3, std::to_string(threads) + " threads");
  Expect(fs::is_empty(proc / "root/"), "empty root");
  for (const char* space : {"mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
    Expect(fs::read_symlink(proc / "ns" / space) !=
               fs::read_symlink(fs::path("/proc/self/ns") / space),
           std::string("own namespace ") + space);
  }
}

Result<base::UniqueFd> StartFileServer(const std::string& program, const fs::path& directory) {
  const std::string path = directory / "fs.sock";
  fs::remove(path);
  (void)TRY(base::Subprocess::Spawn(
      {.program = program,
       // Words that the Rust daemon and the C one of QEMU 7.2 both know.
       .argv = {program, "--socket-path=" + path, "-o", "source=" + (directory / "share").string()},
       .env = {"PATH=/usr/bin:/bin"},
       .fds = {{base::BorrowedFd(2), 2}}}));
  for (int i = 0; i < 300; ++i) {
    auto socket = base::ConnectUnix(path, SOCK_STREAM);
    if (socket) return socket;
    usleep(100'000);
  }
  return base::MakeError(base::Code::kUnavailable, "{} does not listen", program);
}

Result<void> MakeFiles(const fs::path& directory) {
  fs::create_directories(directory / "share");
  std::ofstream(directory / "share/from-host") << plan::kFromHost;
  for (const char* name : {"disk", "disk-ro"}) {
    std::ofstream(directory / name) << plan::kFromHost;
    fs::resize_file(directory / name, plan::kDiskBytes);
  }
  return base::Ok();
}

// The vmm takes requests in their order: nobody need wait for the answer.
v1::ToVmm CreateVmMessage() {
  v1::ToVmm message;
  message.set_id(kCreateVmId);
  message.mutable_create_vm();
  return message;
}

v1::ToVmm ConfigureMessage() {
  v1::ToVmm message;
  message.set_id(kConfigureId);
  auto& configure = *message.mutable_configure();
  configure.set_kernel_fd(0);
  configure.set_initrd_fd(1);
  configure.set_console_fd(2);
  configure.set_command_line("console=ttyS0 quiet loglevel=4 panic=1");
  configure.set_memory_mib(256);
  for (uint32_t i = 0; i < 2; ++i) {
    auto& vcpu = *configure.add_vcpus();
    vcpu.set_index(i);
    vcpu.set_core(i);
    vcpu.set_l2(i);
  }
  configure.add_devices()->mutable_blk()->set_fd(3);
  auto& read_only = *configure.add_devices()->mutable_blk();
  read_only.set_fd(4);
  read_only.set_read_only(true);
  auto& share = *configure.add_devices()->mutable_fs();
  share.set_fd(5);
  share.set_tag(plan::kTag);
  configure.add_devices()->mutable_vsock()->set_guest_cid(3);
  configure.add_devices()->mutable_rng();
  configure.add_devices()->mutable_spare();
  return message;
}

Result<void> Send(base::BorrowedFd socket, const v1::ToVmm& message,
                  std::span<const base::BorrowedFd> fds = {}) {
  const std::string bytes = message.SerializeAsString();
  return base::SendMessage(socket, std::as_bytes(std::span(bytes)), fds);
}

// Until the vmm says that it has ended; returns how.
Result<v1::Exited> Serve(base::BorrowedFd socket, pid_t pid) {
  std::vector<std::byte> buffer(64 << 10);
  while (true) {
    auto received = TRY(base::ReceiveMessage(socket, buffer, 8));
    if (received.size == 0) return base::MakeError(base::Code::kUnavailable, "the vmm hung up");
    v1::FromVmm message;
    if (!message.ParseFromArray(buffer.data(), static_cast<int>(received.size))) {
      return base::MakeError(base::Code::kInternal, "an unreadable message");
    }
    if (message.code() != 0) return base::Error(base::Code::kInternal, message.message());
    if (message.id() == kConfigureId) {
      JudgeJail(pid);
      v1::ToVmm run;
      run.set_id(kRunId);
      run.mutable_run();
      TRY(Send(socket, run));
    }
    if (message.has_vsock_connect() && received.fds.size() == 1) {
      std::thread(Echo, std::move(received.fds[0])).detach();
    }
    if (message.has_exited()) return message.exited();
  }
}

Result<void> Run(char** argv) {
  const fs::path directory = argv[5];
  TRY(MakeFiles(directory));
  const base::UniqueFd share = TRY(StartFileServer(argv[2], directory));
  auto [ours, theirs] = TRY(base::SocketPair(SOCK_SEQPACKET));
  base::Subprocess vmm = TRY(base::Subprocess::Spawn(
      {.program = argv[1],
       .argv = {"pinion-vmm", "--uid", std::to_string(kUid), "--gid", std::to_string(kUid)},
       .fds = {{theirs, 3}, {base::BorrowedFd(2), 2}},
       .clone_flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                      CLONE_NEWCGROUP}));
  theirs.Reset();
  const base::UniqueFd kvm = TRY(base::Open("/dev/kvm", O_RDWR));
  const base::UniqueFd kernel = TRY(base::Open(argv[3], O_RDONLY));
  const base::UniqueFd initrd = TRY(base::Open(argv[4], O_RDONLY));
  const base::UniqueFd console =
      TRY(base::Open(directory / "console", O_CREAT | O_TRUNC | O_WRONLY, 0600));
  const base::UniqueFd disk = TRY(base::Open(directory / "disk", O_RDWR));
  const base::UniqueFd read_only = TRY(base::Open(directory / "disk-ro", O_RDONLY));
  const base::BorrowedFd kvm_fds[] = {kvm};
  const base::BorrowedFd fds[] = {kernel, initrd, console, disk, read_only, share};
  TRY(Send(ours, CreateVmMessage(), kvm_fds));
  TRY(Send(ours, ConfigureMessage(), fds));
  const v1::Exited exited = TRY(Serve(ours, vmm.pid()));
  Expect(exited.reason() == v1::Exited::POWER_OFF,
         "ended by " + std::to_string(exited.reason()) + " " + exited.detail());

  const std::string log = TRY(base::ReadFile(directory / "console"));
  std::cout << log;
  for (const char* name : {"rng", "blk", "blk-read-only", "vsock-echo", "vsock-many", "fs"}) {
    Expect(log.find("probe: " + std::string(name) + " ok") != std::string::npos, name);
  }
  const std::string pattern = plan::Pattern(plan::kFileBytes);
  Expect(TRY(base::ReadFile(directory / "share/from-guest", plan::kFileBytes)) == pattern,
         "the guest's file");
  const std::string written = TRY(base::ReadFile(directory / "disk", plan::kDiskBytes));
  Expect(written.substr(plan::kDiskBytes / 2) == plan::Pattern(plan::kDiskBytes / 2),
         "the guest's sectors");
  return base::Ok();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: " << argv[0] << " PINION_VMM VIRTIOFSD VMLINUX INITRD DIRECTORY\n";
    return 2;
  }
  auto ran = Run(argv);
  if (!ran) Expect(false, ran.error().Trail());
  return failures == 0 ? 0 : 1;
}
