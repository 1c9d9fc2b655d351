// virtio-vsock (virtio 1.2, 5.10) in user space: the guest dials the host, and each connection is a
// socketpair whose other end goes to whoever made the device. No AF_VSOCK of the host is involved.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/base/socket.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/request_device.h"
#include "vmm/virtio/vsock_connection.h"
#include "vmm/virtio/vsock_packet.h"

namespace vmm::virtio {
namespace {

constexpr uint16_t kQueueSizes[] = {256, 256, 256};
constexpr size_t kRxQueue = 0;
constexpr size_t kTxQueue = 1;  // the third one carries events, of which we have none
constexpr uint64_t kFirstGuestCid = 3;
constexpr size_t kMaxConnections = 1023;
// Resets for connections that are not there; a guest that earns more of them waits in vain.
constexpr size_t kMaxResets = 256;
// A driver merely frees the packets that it is given back, and Linux pays an interrupt and two
// turns of a kernel thread for it. So it is told of several at once, or by the interrupt for a
// packet to it; before it is short of descriptors (Linux takes at most 19 a packet), not too late.
constexpr uint16_t kUntoldTx = 8;
constexpr std::chrono::milliseconds kLongestUntold{100};
// Packets a turn, so that one guest cannot hold the reactor.
constexpr unsigned kTurn = 256;

using Key = VsockConnection::Key;

class VsockDevice final : public VirtioDevice {
 public:
  VsockDevice(uint64_t guest_cid, VsockConnectCallback on_connect)
      : guest_cid_(guest_cid), on_connect_(std::move(on_connect)) {
    std::memcpy(config_.data(), &guest_cid_, sizeof(guest_cid_));
  }

  std::string_view name() const override { return "vsock"; }
  DeviceType type() const override { return DeviceType::kVsock; }
  uint64_t features() const override { return kFeatureVersion1 | kFeatureEventIdx; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  std::span<const std::byte> config() const override { return config_; }

  base::Result<void> Activate(DeviceHost& host, const Activation& activation) override;
  base::Result<void> Notify(size_t queue) override;
  void Reset() override;

 private:
  struct Slot {
    VsockConnection connection;
    base::Watch watch;
    uint32_t watched = 0;
    bool scheduled = false;  // is in rx_order_

    Slot(base::UniqueFd socket, const VsockHeader& request)
        : connection(std::move(socket), request) {}
  };
  using Connections = std::map<Key, std::unique_ptr<Slot>>;

  base::Result<void> ServeTx();
  base::Result<void> PumpRx();
  void Signal();
  void OnPacket(const Chain& chain);
  void Open(const Key& key, const VsockHeader& request);
  void Drop(const Key& key, bool tell_guest);
  void OnSocket(const Key& key, uint32_t events);
  void OnDraining(size_t id, uint32_t events);
  void Settle(const Key& key);
  base::Result<void> Watch(Slot& slot, base::EventLoop::FdCallback callback);
  void Refuse(const VsockHeader& header);
  bool NextHeader(std::span<const iovec> room, VsockHeader& header);
  void Break(base::Error error);

  const uint64_t guest_cid_;
  const VsockConnectCallback on_connect_;
  std::array<std::byte, sizeof(uint64_t)> config_;

  DeviceHost* host_ = nullptr;  // borrowed from Activate to Reset; null: not running
  std::vector<std::optional<Queue>> queues_;
  Connections connections_;
  // Ended for the guest, but the host has still to take bytes that it sent before.
  std::map<size_t, std::unique_ptr<Slot>> draining_;
  size_t next_draining_ = 0;
  std::deque<Key> rx_order_;        // those that have something for the guest, in turn
  std::deque<VsockHeader> resets_;  // addressed already
  std::vector<iovec> room_;
  base::Timer tx_signal_;
};

base::Result<void> VsockDevice::Activate(DeviceHost& host, const Activation& activation) {
  queues_ = TRY(CreateQueues(*this, host.memory(), activation));
  if (!queues_[kRxQueue] || !queues_[kTxQueue]) {
    queues_.clear();
    return base::MakeError(base::Code::kInvalidArgument, "vsock: a driver without both queues");
  }
  host_ = &host;
  return base::Ok();
}

void VsockDevice::Reset() {
  host_ = nullptr;
  connections_.clear();
  draining_.clear();
  rx_order_.clear();
  resets_.clear();
  tx_signal_.Cancel();
  queues_.clear();
}

base::Result<void> VsockDevice::Notify(size_t queue) {
  if (host_ == nullptr) return base::Ok();
  if (queue == kTxQueue) TRY(ServeTx());
  if (queue == kRxQueue || queue == kTxQueue) TRY(PumpRx());
  return base::Ok();
}

base::Result<void> VsockDevice::ServeTx() {
  TRY(PassChains(*host_, *queues_[kTxQueue], kTxQueue,
                 [this](const Chain& chain) -> base::Result<size_t> {
                   OnPacket(chain);
                   return size_t{0};
                 }),
      "packet from the guest");
  return base::Ok();
}

void VsockDevice::OnPacket(const Chain& chain) {
  const std::optional<VsockHeader> parsed = ParseVsockHeader(chain.readable, chain.readable_bytes);
  // virtio 1.2, 5.10.6: what claims to come from elsewhere, or is no packet, is dropped.
  if (!parsed || parsed->source_cid != guest_cid_) return;
  const VsockHeader& header = *parsed;
  const Key key{header.source_port, header.destination_port};
  const auto found = connections_.find(key);
  if (header.destination_cid != kVsockHostCid || header.type != kVsockTypeStream) {
    return Refuse(header);
  }
  if (header.op == VsockOp::kRequest && found == connections_.end()) return Open(key, header);
  if (found == connections_.end()) return Refuse(header);
  if (header.op == VsockOp::kReset) return Drop(key, false);
  Subrange(chain.readable, sizeof(header), header.length, room_);
  if (!found->second->connection.OnPacket(header, room_)) return Drop(key, true);
  Settle(key);
}

void VsockDevice::Open(const Key& key, const VsockHeader& request) {
  if (connections_.size() + draining_.size() >= kMaxConnections) return Refuse(request);
  auto pair = base::SocketPair(SOCK_STREAM);
  if (!pair) return Refuse(request);
  // Ours alone is non-blocking: OnPacket and NextPacket use MSG_DONTWAIT, so the flag is not
  // needed.
  auto slot = std::make_unique<Slot>(std::move(pair->first), request);
  if (!on_connect_(key.host_port, key.guest_port, std::move(pair->second))) return Refuse(request);
  connections_.emplace(key, std::move(slot));
  Settle(key);
}

// An answer to a packet of no connection; resets are never answered (virtio 1.2, 5.10.6.5).
void VsockDevice::Refuse(const VsockHeader& header) {
  if (header.op == VsockOp::kReset || resets_.size() >= kMaxResets) return;
  resets_.push_back({.source_cid = header.destination_cid,
                     .destination_cid = header.source_cid,
                     .source_port = header.destination_port,
                     .destination_port = header.source_port,
                     .type = header.type,
                     .op = VsockOp::kReset});
}

void VsockDevice::Drop(const Key& key, bool tell_guest) {
  const auto found = connections_.find(key);
  std::unique_ptr<Slot> slot = std::move(found->second);
  connections_.erase(found);
  if (slot->scheduled) rx_order_.erase(std::find(rx_order_.begin(), rx_order_.end(), key));
  if (tell_guest) {
    Refuse({.source_cid = guest_cid_,
            .destination_cid = kVsockHostCid,
            .source_port = key.guest_port,
            .destination_port = key.host_port,
            .type = kVsockTypeStream});
  }
  if (!slot->connection.MustDrain()) return;
  const size_t id = next_draining_++;
  slot->watch.Cancel();
  if (Watch(*slot, [this, id](uint32_t events) { OnDraining(id, events); })) {
    draining_.emplace(id, std::move(slot));
  }
}

void VsockDevice::OnDraining(size_t id, uint32_t events) {
  Slot& slot = *draining_.at(id);
  slot.connection.OnSocket(events);
  if (!slot.connection.MustDrain() || !Watch(slot, {})) draining_.erase(id);
}

void VsockDevice::OnSocket(const Key& key, uint32_t events) {
  connections_.at(key)->connection.OnSocket(events);
  Settle(key);
  base::Result<void> pumped = PumpRx();
  if (!pumped) Break(std::move(pumped.error()));
}

// After anything that happened to the connection: what it waits for, and whether it has its turn.
void VsockDevice::Settle(const Key& key) {
  Slot& slot = *connections_.at(key);
  if (slot.connection.Finished()) return Drop(key, true);
  if (slot.connection.HasPacket() && !std::exchange(slot.scheduled, true)) {
    rx_order_.push_back(key);
  }
  if (!Watch(slot, [this, key](uint32_t events) { OnSocket(key, events); })) Drop(key, true);
}

base::Result<void> VsockDevice::Watch(Slot& slot, base::EventLoop::FdCallback callback) {
  const uint32_t wanted = slot.connection.WantedEvents();
  if (wanted == 0 && slot.connection.hung_up()) {
    slot.watch.Cancel();
    return base::Ok();
  }
  if (!slot.watch.active()) {
    slot.watch = TRY(host_->loop().WatchFd(slot.connection.socket(), wanted, std::move(callback)));
  } else if (wanted != slot.watched) {
    TRY(slot.watch.SetEvents(wanted));
  }
  slot.watched = wanted;
  return base::Ok();
}

base::Result<void> VsockDevice::PumpRx() {
  Queue& queue = *queues_[kRxQueue];
  unsigned turn = kTurn;
  for (; turn > 0 && !(resets_.empty() && rx_order_.empty()); --turn) {
    const std::optional<Chain> chain = TRY(queue.Pop(), "buffer for a packet to the guest");
    if (!chain) break;
    if (chain->writable_bytes <= sizeof(VsockHeader)) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "buffer of {} bytes for a packet: no room for a header and a payload",
                             chain->writable_bytes);
    }
    VsockHeader header;
    Subrange(chain->writable, sizeof(header), chain->writable_bytes - sizeof(header), room_);
    if (!NextHeader(room_, header)) {
      queue.UndoPop();
      break;
    }
    CopyTo(chain->writable, 0, std::as_bytes(std::span(&header, 1)));
    queue.Push(chain->head, sizeof(header) + header.length);
  }
  Signal();
  if (turn == 0) host_->NotifyAgain(kRxQueue);
  return base::Ok();
}

void VsockDevice::Signal() {
  Queue& tx = *queues_[kTxQueue];
  const bool received = queues_[kRxQueue]->TakeSignal();
  if (!received && tx.untold() < kUntoldTx) {
    if (tx.untold() == 0 || tx_signal_.active()) return;
    tx_signal_ = host_->loop().After(kLongestUntold, [this] {
      if (queues_[kTxQueue]->TakeSignal()) host_->SignalUsed();
    });
    return;
  }
  tx_signal_.Cancel();
  // One interrupt is for all queues (virtio 1.2, 4.2.2, InterruptStatus bit 0).
  if (tx.TakeSignal() || received) host_->SignalUsed();
}

// False: nobody has anything for the guest.
bool VsockDevice::NextHeader(std::span<const iovec> room, VsockHeader& header) {
  if (!resets_.empty()) {
    header = resets_.front();
    resets_.pop_front();
    return true;
  }
  while (!rx_order_.empty()) {
    const Key key = rx_order_.front();
    rx_order_.pop_front();
    Slot& slot = *connections_.at(key);
    slot.scheduled = false;
    const bool filled = slot.connection.NextPacket(room, header);
    Settle(key);
    if (!filled) continue;
    header.source_cid = kVsockHostCid;
    header.destination_cid = guest_cid_;
    header.source_port = key.host_port;
    header.destination_port = key.guest_port;
    return true;
  }
  return false;
}

// For failures that no call of the transport can return: it resets us later, until then we rest.
void VsockDevice::Break(base::Error error) {
  DeviceHost* const host = host_;
  Reset();
  host->Fail(std::move(error));
}

}  // namespace

base::Result<std::unique_ptr<VirtioDevice>> MakeVsock(uint64_t guest_cid,
                                                      VsockConnectCallback on_connect) {
  // virtio 1.2, 5.10.4: 0, 1, 2 and the two all-ones values are reserved; the upper half is zero.
  if (guest_cid < kFirstGuestCid || guest_cid >= 0xffffffff) {
    return base::MakeError(base::Code::kInvalidArgument, "guest CID {}: must be 3 to 2^32 - 2",
                           guest_cid);
  }
  return std::unique_ptr<VirtioDevice>(
      std::make_unique<VsockDevice>(guest_cid, std::move(on_connect)));
}

}  // namespace vmm::virtio
