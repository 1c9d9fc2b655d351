#include "vmm/virtio/vhost_user.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "runtime/base/socket.h"

namespace vmm::virtio {
namespace {

// vhost-user.rst, "Header"
struct Header {
  uint32_t request;
  uint32_t flags;
  uint32_t size;  // of the payload
};
static_assert(sizeof(Header) == 12);
constexpr uint32_t kVersion = 1;
constexpr uint32_t kVersionMask = 3;
constexpr uint32_t kIsReply = 1 << 2;
constexpr uint32_t kNeedReply = 1 << 3;

// vhost-user.rst, "Memory regions description"
struct MemoryRegion {
  uint64_t guest_address;
  uint64_t bytes;
  uint64_t user_address;  // in our address space; names ring addresses, nothing else
  uint64_t mmap_offset;
};
constexpr size_t kMaxRegions = 8;

// "Vring state description"
struct RingState {
  uint32_t index;
  uint32_t number;
};

// "Vring address description"
struct RingAddresses {
  uint32_t index;
  uint32_t flags;
  uint64_t descriptors;
  uint64_t used;
  uint64_t available;
  uint64_t log;
};
static_assert(sizeof(RingAddresses) == 40);

base::Error BackEndError(const char* what, VhostUserRequest request) {
  return base::MakeError(base::Code::kUnavailable, "vhost-user request {}: {}",
                         static_cast<uint32_t>(request), what);
}

base::Result<uint64_t> UserAddress(const GuestMemory& memory, GuestAddress address) {
  return reinterpret_cast<uint64_t>(TRY(memory.Slice(address, 1)).data());
}

}  // namespace

base::Result<VhostUserFrontEnd> VhostUserFrontEnd::Create(base::UniqueFd socket) {
  const timeval limit{.tv_sec = kReplyLimit.count(), .tv_usec = 0};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (setsockopt(socket.get(), SOL_SOCKET, option, &limit, sizeof(limit)) != 0) {
      return base::ErrnoError("vhost-user socket {}: set a time limit", socket.get());
    }
  }
  return VhostUserFrontEnd(std::move(socket));
}

base::Result<void> VhostUserFrontEnd::Send(VhostUserRequest request,
                                           std::span<const std::byte> payload,
                                           std::span<const base::BorrowedFd> fds,
                                           bool wants_answer) {
  const Header header{.request = static_cast<uint32_t>(request),
                      .flags = kVersion | (wants_answer ? kNeedReply : 0),
                      .size = static_cast<uint32_t>(payload.size())};
  std::vector<std::byte> message(sizeof(header) + payload.size());
  std::memcpy(message.data(), &header, sizeof(header));
  if (!payload.empty()) {
    std::memcpy(message.data() + sizeof(header), payload.data(), payload.size());
  }
  TRY(base::SendMessage(socket_, message, fds), "vhost-user request {}", header.request);
  return base::Ok();
}

base::Result<void> VhostUserFrontEnd::Receive(VhostUserRequest request,
                                              std::span<std::byte> payload) {
  const auto receive = [&](std::span<std::byte> into) -> base::Result<void> {
    for (size_t done = 0; done < into.size();) {
      // recv drops descriptors that a back end has no business to send.
      const ssize_t got = recv(socket_.get(), into.data() + done, into.size() - done, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return BackEndError("no answer within 5 s", request);
      }
      if (got < 0) return base::ErrnoError("vhost-user receive");
      if (got == 0) return BackEndError("the back end hung up", request);
      done += static_cast<size_t>(got);
    }
    return base::Ok();
  };
  Header header;
  TRY(receive(std::as_writable_bytes(std::span(&header, 1))));
  if (header.request != static_cast<uint32_t>(request) ||
      (header.flags & (kVersionMask | kIsReply)) != (kVersion | kIsReply)) {
    return BackEndError("answered by something else", request);
  }
  if (header.size != payload.size()) return BackEndError("answer of the wrong size", request);
  return receive(payload);
}

base::Result<void> VhostUserFrontEnd::Set(VhostUserRequest request,
                                          std::span<const std::byte> payload,
                                          std::span<const base::BorrowedFd> fds) {
  const bool acknowledged = (protocol_features_ & kVhostUserReplyAck) != 0;
  TRY(Send(request, payload, fds, acknowledged));
  if (!acknowledged) return base::Ok();
  uint64_t status = 0;
  TRY(Receive(request, std::as_writable_bytes(std::span(&status, 1))));
  if (status != 0) return BackEndError("refused by the back end", request);
  return base::Ok();
}

base::Result<uint64_t> VhostUserFrontEnd::Get(VhostUserRequest request) {
  TRY(Send(request, {}, {}, false));
  uint64_t value = 0;
  TRY(Receive(request, std::as_writable_bytes(std::span(&value, 1))));
  return value;
}

base::Result<uint64_t> VhostUserFrontEnd::Negotiate() {
  TRY(Set(VhostUserRequest::kSetOwner, {}));
  const uint64_t features = TRY(Get(VhostUserRequest::kGetFeatures));
  if ((features & kVhostUserProtocolFeatures) != 0) {
    const uint64_t offered = TRY(Get(VhostUserRequest::kGetProtocolFeatures));
    const uint64_t chosen = offered & kVhostUserReplyAck;
    TRY(SetValue(VhostUserRequest::kSetProtocolFeatures, chosen));
    protocol_features_ = chosen;
    has_protocol_features_ = true;
  }
  return features;
}

base::Result<void> VhostUserFrontEnd::SetFeatures(uint64_t features) {
  // Rings then start disabled, and SET_VRING_ENABLE is due: vhost-user.rst, "Ring states".
  if (has_protocol_features_) features |= kVhostUserProtocolFeatures;
  return SetValue(VhostUserRequest::kSetFeatures, features);
}

base::Result<void> VhostUserFrontEnd::SetMemory(const GuestMemory& memory) {
  struct {
    uint32_t count;
    uint32_t padding;
    MemoryRegion regions[kMaxRegions];
  } table{};
  std::array<base::BorrowedFd, kMaxRegions> fds;
  for (const GuestMemory::Region& region : memory.regions()) {
    if (table.count == kMaxRegions) {
      return base::MakeError(base::Code::kOutOfRange, "vhost-user takes {} memory regions",
                             kMaxRegions);
    }
    fds[table.count] = memory.fd();
    table.regions[table.count++] = {.guest_address = region.start.value,
                                    .bytes = region.size,
                                    .user_address = reinterpret_cast<uint64_t>(region.host),
                                    .mmap_offset = region.memfd_offset};
  }
  const size_t size = offsetof(decltype(table), regions) + table.count * sizeof(MemoryRegion);
  return Set(VhostUserRequest::kSetMemTable, std::as_bytes(std::span(&table, 1)).first(size),
             std::span(fds).first(table.count));
}

base::Result<void> VhostUserFrontEnd::StartRing(uint32_t index, const GuestMemory& memory,
                                                const QueueConfig& config, base::BorrowedFd kick,
                                                base::BorrowedFd call) {
  const RingAddresses addresses{.index = index,
                                .flags = 0,
                                .descriptors = TRY(UserAddress(memory, config.descriptors)),
                                .used = TRY(UserAddress(memory, config.device)),
                                .available = TRY(UserAddress(memory, config.driver)),
                                .log = 0};
  TRY(SetValue(VhostUserRequest::kSetVringNum, RingState{index, config.size}));
  TRY(SetValue(VhostUserRequest::kSetVringBase, RingState{index, 0}));
  TRY(SetValue(VhostUserRequest::kSetVringAddr, addresses));
  // The call descriptor first: the kick starts the ring, and requests may wait in it already.
  const uint64_t with_fd = index;
  const auto payload = std::as_bytes(std::span(&with_fd, 1));
  TRY(Set(VhostUserRequest::kSetVringCall, payload, {&call, 1}));
  TRY(Set(VhostUserRequest::kSetVringKick, payload, {&kick, 1}));
  if (has_protocol_features_) {
    TRY(SetValue(VhostUserRequest::kSetVringEnable, RingState{index, 1}));
  }
  return base::Ok();
}

base::Result<void> VhostUserFrontEnd::StopRing(uint32_t index) {
  const RingState asked{index, 0};
  TRY(Send(VhostUserRequest::kGetVringBase, std::as_bytes(std::span(&asked, 1)), {}, false));
  RingState answer{};
  return Receive(VhostUserRequest::kGetVringBase, std::as_writable_bytes(std::span(&answer, 1)));
}

}  // namespace vmm::virtio
