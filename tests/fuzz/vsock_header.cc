// A hostile driver on one vsock connection: packets with headers of the input's choice, and a host
// that reads, writes and closes now and then.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "runtime/base/socket.h"
#include "vmm/virtio/vsock_connection.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vmm::virtio::VsockConnection;
  using vmm::virtio::VsockHeader;
  VsockHeader request;
  if (size < sizeof(request)) return 0;
  std::memcpy(&request, data, sizeof(request));
  auto pair = base::SocketPair(SOCK_STREAM);
  if (!pair) return 0;
  VsockConnection connection(std::move(pair->first), request);
  base::UniqueFd host = std::move(pair->second);
  static std::array<std::byte, 128 << 10> payload;
  static std::array<std::byte, 4096> room;
  const iovec room_part{room.data(), room.size()};

  while (size >= 1 + sizeof(VsockHeader)) {
    const uint8_t what = *data;
    const iovec packet{const_cast<uint8_t*>(data + 1), size - 1};
    const auto header =
        vmm::virtio::ParseVsockHeader({&packet, 1}, (what & 1) != 0 ? size - 1 : payload.size());
    data += 1 + sizeof(VsockHeader);
    size -= 1 + sizeof(VsockHeader);
    if (!header) continue;
    const iovec part{payload.data(), header->length};
    if (!connection.OnPacket(*header, {&part, 1})) break;
    if ((what & 2) != 0) (void)send(host.get(), payload.data(), 100, MSG_NOSIGNAL | MSG_DONTWAIT);
    if ((what & 4) != 0) (void)!recv(host.get(), room.data(), room.size(), MSG_DONTWAIT);
    if ((what & 8) != 0) host.Reset();
    connection.OnSocket((what & 8) != 0 ? EPOLLIN | EPOLLHUP : uint32_t{what} & EPOLLIN);
    connection.OnSocket(EPOLLOUT);
    for (int i = 0; i < 8 && connection.HasPacket(); ++i) {
      VsockHeader out;
      connection.NextPacket({&room_part, 1}, out);
    }
    (void)connection.WantedEvents();
    if (connection.Finished()) break;
  }
  return 0;
}
