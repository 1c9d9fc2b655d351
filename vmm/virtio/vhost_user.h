// VhostUserFrontEnd: our half of the vhost-user protocol (QEMU docs/interop/vhost-user.rst), as
// much as a vhost-user-fs back end needs.
//
// Request and answer in turn, blocking, at most kReplyLimit for each: used while a driver starts or
// stops its device, never while it runs. The back end is not trusted: an answer has exactly the
// size that belongs to its request, and carries no descriptor. Thread rule: reactor-bound.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/virtio/device.h"

namespace vmm::virtio {

enum class VhostUserRequest : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kSetVringEnable = 18,
};

// Among the virtio features: the back end has protocol features.
inline constexpr uint64_t kVhostUserProtocolFeatures = 1ull << 30;
// Protocol feature: every request may ask for an answer.
inline constexpr uint64_t kVhostUserReplyAck = 1ull << 3;

class VhostUserFrontEnd {
 public:
  static constexpr std::chrono::seconds kReplyLimit{5};

  // `socket`: a connected AF_UNIX stream socket.
  static base::Result<VhostUserFrontEnd> Create(base::UniqueFd socket);

  // SET_OWNER, then the features of both kinds. Returns the back end's virtio features.
  base::Result<uint64_t> Negotiate();
  // To be called with what the driver chose.
  base::Result<void> SetFeatures(uint64_t features);
  base::Result<void> SetMemory(const GuestMemory& memory);
  // Starts ring `index`; its places have been checked against `memory`. `call`: written by the back
  // end for each interrupt.
  base::Result<void> StartRing(uint32_t index, const GuestMemory& memory, const QueueConfig& config,
                               base::BorrowedFd kick, base::BorrowedFd call);
  // After it the back end leaves the ring alone.
  base::Result<void> StopRing(uint32_t index);

  base::BorrowedFd socket() const { return socket_; }

 private:
  explicit VhostUserFrontEnd(base::UniqueFd socket) : socket_(std::move(socket)) {}

  base::Result<void> Send(VhostUserRequest request, std::span<const std::byte> payload,
                          std::span<const base::BorrowedFd> fds, bool wants_answer);
  base::Result<void> Receive(VhostUserRequest request, std::span<std::byte> payload);
  // A request that changes something; waits for the acknowledgement where the back end gives one.
  base::Result<void> Set(VhostUserRequest request, std::span<const std::byte> payload,
                         std::span<const base::BorrowedFd> fds = {});
  template <class T>
  base::Result<void> SetValue(VhostUserRequest request, const T& value) {
    return Set(request, std::as_bytes(std::span(&value, 1)));
  }
  base::Result<uint64_t> Get(VhostUserRequest request);

  base::UniqueFd socket_;
  uint64_t protocol_features_ = 0;
  bool has_protocol_features_ = false;
};

}  // namespace vmm::virtio
