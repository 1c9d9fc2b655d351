#include "runtime/cpu/host_watch.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>

namespace cpu {
namespace {

constexpr uint32_t kKernelGroup = 1;  // udev's own messages go to another

}  // namespace

// Linux lib/kobject_uevent.c: "online@/devices/system/cpu/cpu1\0ACTION=online\0…\0SUBSYSTEM=cpu\0".
bool IsCpuEvent(std::string_view message) {
  while (!message.empty()) {
    const size_t end = message.find('\0');
    if (message.substr(0, end) == "SUBSYSTEM=cpu") return true;
    if (end == std::string_view::npos) return false;
    message.remove_prefix(end + 1);
  }
  return false;
}

base::Result<std::unique_ptr<HostWatch>> HostWatch::Create(base::EventLoop& loop,
                                                           std::function<void()> changed) {
  std::unique_ptr<HostWatch> watch(new HostWatch(std::move(changed)));
  watch->socket_ = base::UniqueFd(
      socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  if (!watch->socket_) return base::ErrnoError("socket(NETLINK_KOBJECT_UEVENT)");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelGroup;
  if (bind(watch->socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
      0) {
    return base::ErrnoError("bind to the kernel's uevents");
  }
  watch->watch_ = TRY(
      loop.WatchFd(watch->socket_, EPOLLIN, [raw = watch.get()](uint32_t) { raw->OnEvents(); }));
  return watch;
}

void HostWatch::OnEvents() {
  char buffer[8192];  // lib/kobject_uevent.c, UEVENT_BUFFER_SIZE is 2048
  bool ours = false;
  for (;;) {
    sockaddr_nl sender{};
    socklen_t length = sizeof sender;
    const ssize_t size = recvfrom(socket_.get(), buffer, sizeof buffer, 0,
                                  reinterpret_cast<sockaddr*>(&sender), &length);
    if (size < 0 && errno == EINTR) continue;
    // An overflow may have swallowed one of ours.
    ours = ours || (size < 0 && errno == ENOBUFS);
    if (size < 0 && errno == ENOBUFS) continue;
    if (size <= 0) break;
    ours = ours || (sender.nl_pid == 0 && IsCpuEvent({buffer, static_cast<size_t>(size)}));
  }
  if (ours) changed_();
}

}  // namespace cpu
