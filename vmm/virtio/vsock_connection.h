// VsockConnection: one stream between the guest and the host's socket, without the queues.
//
//   guest ── OnPacket ──► [kBufferBytes, only what the socket would not take] ──► socket
//   guest ◄─ NextPacket ── straight from the socket into the guest's buffer ◄──── socket
//
// Credit (virtio 1.2, 5.10.6.3) bounds both ways. Either way may end before the other, and what was
// sent before an end is delivered. Thread rule: reactor-bound. Ownership: owns our end of the
// socketpair.
#pragma once

#include <sys/uio.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "vmm/virtio/vsock_packet.h"

namespace vmm::virtio {

class VsockConnection {
 public:
  struct Key {
    uint32_t guest_port = 0;
    uint32_t host_port = 0;
    auto operator<=>(const Key&) const = default;
  };
  static constexpr uint32_t kBufferBytes = 64 << 10;

  // `socket`: used with MSG_DONTWAIT alone. `request`: the guest's kRequest. The first packet out
  // is the response.
  VsockConnection(base::UniqueFd socket, const VsockHeader& request);

  // A packet of the guest for this connection; `payload` has header.length bytes. False: it broke
  // the rules or ended the connection without a word (kReset), which ends now.
  bool OnPacket(const VsockHeader& header, std::span<const iovec> payload);
  // EPOLL* bits of the socket.
  void OnSocket(uint32_t events);
  // Which to wait for next. 0 stands for hang-up and errors alone, which epoll reports anyway.
  uint32_t WantedEvents() const;
  // The peer is gone and has been noticed: epoll would repeat it for ever.
  bool hung_up() const { return hung_up_; }

  // There is something for the guest, as far as we know.
  bool HasPacket() const;
  // Fills `header` but for cids and ports, and `room`, which is not empty, with its payload. False:
  // nothing after all.
  bool NextPacket(std::span<const iovec> room, VsockHeader& header);

  // Both ends have said all: to be answered with kReset and dropped (virtio 1.2, 5.10.6.5).
  bool Finished() const;
  // The guest is done with it, but the socket has still to take what the guest sent before.
  bool MustDrain() const { return (guest_shutdown_ & kVsockShutdownSend) != 0 && Buffered() != 0; }
  base::BorrowedFd socket() const { return socket_; }

 private:
  size_t Buffered() const { return buffer_.size() - buffer_start_; }
  uint32_t GuestCredit() const;
  bool OnData(std::span<const iovec> payload, uint32_t length);
  void OnShutdown(uint32_t flags);
  void Flush();
  void Forwarded(size_t bytes);
  void LoseReader();
  bool CanRead() const;
  bool ChoosePacket(std::span<const iovec> room, VsockHeader& header);

  base::UniqueFd socket_;

  // Guest to host.
  std::vector<std::byte> buffer_;
  size_t buffer_start_ = 0;
  uint32_t forwarded_ = 0;       // fwd_cnt, for the guest
  uint32_t told_forwarded_ = 0;  // as the guest last heard
  uint32_t guest_shutdown_ = 0;  // kVsockShutdown* as the guest said
  bool reader_gone_ = false;     // the host reads no more

  // Host to guest.
  uint32_t sent_ = 0;             // modulo 2^32
  uint32_t guest_buffer_ = 0;     // the guest's buf_alloc
  uint32_t guest_forwarded_ = 0;  // the guest's fwd_cnt
  bool readable_ = false;         // the socket may have bytes
  bool end_of_stream_ = false;    // the host sends no more
  bool hung_up_ = false;

  // Packets that are due.
  bool response_due_ = true;
  bool credit_due_ = false;
  bool credit_requested_ = false;
  uint32_t shutdown_due_ = 0;
  uint32_t shutdown_sent_ = 0;
};

}  // namespace vmm::virtio
