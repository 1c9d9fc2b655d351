// pinion-vmm: the virtual machine of one pod, in its jail.
//
// Started by the shim with the control socket as descriptor 3 and the log as descriptor 2
// (vmm/README.md); with --boot by a developer.
#include <malloc.h>
#include <signal.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "runtime/base/event_loop.h"
#include "runtime/base/log.h"
#include "vmm/control/boot_command.h"
#include "vmm/control/control_server.h"
#include "vmm/jail/jail.h"

namespace {

constexpr int kControlFd = 3;
constexpr int kLogFd = 2;
constexpr int kUsageStatus = 2;

int Help() {
  printf(
      "usage: pinion-vmm --uid U --gid G\n"
      "  Runs one virtual machine for the shim that started it: descriptor 3 is the control\n"
      "  socket, 2 the log. Needs root, which it gives up for U and G.\n\n"
      "       pinion-vmm --boot --kernel FILE [options]\n");
  vmm::PrintBootHelp();
  return 0;
}

bool ParseId(const char* text, uint32_t& id) {
  const char* end = text + std::strlen(text);
  const auto result = std::from_chars(text, end, id);
  return result.ec == std::errc() && result.ptr == end;
}

base::Result<void> Serve(uid_t uid, gid_t gid) {
  TRY(vmm::jail::EnterJail(uid, gid, kControlFd), "jail");
  const std::unique_ptr<base::EventLoop> loop = TRY(base::EventLoop::Create());
  const std::unique_ptr<vmm::ControlServer> server = TRY(vmm::ControlServer::Create(
      base::UniqueFd(kControlFd), *loop,
      {.device = vmm::jail::ApplyDeviceFilter, .vcpu = vmm::jail::ApplyVcpuFilter}));
  TRY(loop->Run());
  // Not by way of destructors: a vCPU thread may still be inside a device that waits for the
  // reactor, which has just stopped. The kernel takes everything down at once.
  _exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  // One arena: vCPU threads hardly allocate, and an arena each would cost resident pages.
  mallopt(M_ARENA_MAX, 1);
  // A console or a peer that is gone is an error of write(2), not our end.
  signal(SIGPIPE, SIG_IGN);
  uint32_t uid = 0;
  uint32_t gid = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--boot") return vmm::BootCommand(argc, argv);
    if (word == "--help") return Help();
    const bool known = word == "--uid" || word == "--gid";
    if (!known || i + 1 == argc || !ParseId(argv[++i], word == "--uid" ? uid : gid)) {
      fprintf(stderr, "pinion-vmm: \"%s\": see --help\n", argv[i]);
      return kUsageStatus;
    }
  }
  if (uid == 0 || gid == 0) {
    fprintf(stderr, "pinion-vmm: needs --uid and --gid, neither 0; see --help\n");
    return kUsageStatus;
  }
  base::InitLog(base::BorrowedFd(kLogFd), base::LogLevel::kInfo);
  const base::Result<void> served = Serve(uid, gid);
  if (!served) LOG_ERROR("{}", served.error().Trail());
  return served ? 0 : 1;
}
