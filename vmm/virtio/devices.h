// The makers of our virtio devices. Each device is reactor-bound (device.h).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/packet_port.h"

namespace vmm::virtio {

// A disk: a raw image or a block device, whole 512-byte sectors (a tail is not shown to the guest).
// Takes its capacity now, so call it before the seccomp filter is on.
base::Result<std::unique_ptr<VirtioDevice>> MakeBlk(base::UniqueFd file, bool read_only);

std::unique_ptr<VirtioDevice> MakeRng();

struct NetOptions {
  std::array<uint8_t, 6> mac{};
  uint16_t mtu = 1500;  // 68 and above
};

// A network card at `port`.
base::Result<std::unique_ptr<VirtioDevice>> MakeNet(std::unique_ptr<PacketPort> port,
                                                    const NetOptions& options);

// The guest opened a stream to `host_port` of the host. `stream` is a connected AF_UNIX SOCK_STREAM
// socket, the host's end, in blocking mode. An error refuses the connection (RST); it is not
// logged. Called on the reactor, never from within MakeVsock.
using VsockConnectCallback = std::function<base::Result<void>(
    uint32_t host_port, uint32_t guest_port, base::UniqueFd stream)>;

// `guest_cid`: 3 and above (virtio 1.2, 5.10.4).
base::Result<std::unique_ptr<VirtioDevice>> MakeVsock(uint64_t guest_cid,
                                                      VsockConnectCallback on_connect);

// Called once, on the reactor, when the back end has died or broke the protocol: the guest's files
// are gone, and there is no way back for the pod.
using FsDeathCallback = std::function<void(base::Error)>;

// A shared directory served by the vhost-user back end at the other end of `socket`. Talks to it at
// once (features). The back end's messages are judged like a guest's. `tag`: 1 to 36 bytes.
base::Result<std::unique_ptr<VirtioDevice>> MakeFs(base::UniqueFd socket, std::string_view tag,
                                                   FsDeathCallback on_death);

}  // namespace vmm::virtio
