// virtio-net (virtio 1.2, 5.1) on a PacketPort: one pair of queues, frames straight between the
// guest's buffers and the kernel. Left out: the control queue (so the driver filters addresses
// itself), several pairs, UDP segmentation, link status (the link is always up).
#include <linux/if_tun.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/base/log.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/net_header.h"
#include "vmm/virtio/request_device.h"

namespace vmm::virtio {
namespace {

constexpr uint16_t kQueueSizes[] = {256, 256};
constexpr size_t kRxQueue = 0;
constexpr size_t kTxQueue = 1;
constexpr size_t kHeaderBytes = sizeof(NetHeader);
// Frames a turn, so that one guest cannot hold the reactor.
constexpr unsigned kTurn = 256;
// Buffers in one readv: as many as it takes, less one chain of the whole queue, less the overflow.
constexpr size_t kMaxParts = IOV_MAX - kQueueSizes[kRxQueue] - 1;

constexpr uint64_t kFeatures = kFeatureVersion1 | kFeatureEventIdx | kNetMac | kNetMtu | kNetCsum |
                               kNetHostTso4 | kNetHostTso6 | kNetHostEcn | kNetGuestCsum |
                               kNetGuestTso4 | kNetGuestTso6 | kNetGuestEcn | kNetMrgRxbuf;
constexpr uint64_t kGuestSegments = kNetGuestTso4 | kNetGuestTso6;

// virtio 1.2, 5.1.4 "Device configuration layout", as far as our features reach.
struct NetDeviceConfig {
  std::array<uint8_t, 6> mac;    // 0x00
  uint16_t status;               // 0x06, without F_STATUS
  uint16_t max_virtqueue_pairs;  // 0x08, without F_MQ
  uint16_t mtu;                  // 0x0a
};
static_assert(sizeof(NetDeviceConfig) == 12 && offsetof(NetDeviceConfig, mtu) == 10);

class NetDevice final : public VirtioDevice {
 public:
  NetDevice(std::unique_ptr<PacketPort> port, const NetOptions& options)
      : port_(std::move(port)), mtu_(options.mtu) {
    const NetDeviceConfig config{
        .mac = options.mac, .status = 0, .max_virtqueue_pairs = 1, .mtu = options.mtu};
    std::memcpy(config_.data(), &config, sizeof(config));
  }

  std::string_view name() const override { return "net"; }
  DeviceType type() const override { return DeviceType::kNet; }
  uint64_t features() const override { return kFeatures; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  std::span<const std::byte> config() const override { return config_; }

  base::Result<void> Activate(DeviceHost& host, const Activation& activation) override;
  base::Result<void> Notify(size_t queue) override;
  void Reset() override;

 private:
  // A chain that was popped and waits for a frame; its buffers are the next `parts` of parts_.
  struct Held {
    uint16_t head;
    size_t parts;
    size_t bytes;
  };

  bool Negotiated(uint64_t feature) const { return (features_ & feature) != 0; }
  unsigned Offloads() const;
  base::Result<void> ServeTx();
  void Send(const Chain& chain);
  base::Result<void> PumpRx();
  base::Result<void> Gather();
  bool HasRoom() const;
  void Deliver(size_t bytes);
  base::Result<void> WatchPort(bool wanted);
  void OnPort(uint32_t events);

  const std::unique_ptr<PacketPort> port_;
  const uint16_t mtu_;
  std::array<std::byte, sizeof(NetDeviceConfig)> config_;

  DeviceHost* host_ = nullptr;  // borrowed from Activate to Reset; null: not running
  uint64_t features_ = 0;
  size_t wanted_room_ = 0;
  std::vector<std::optional<Queue>> queues_;
  base::Watch watch_;
  bool watching_ = false;
  bool port_is_gone_ = false;
  std::vector<Held> held_;
  std::vector<iovec> parts_;  // of held_, one chain's after the other's
  size_t room_ = 0;           // bytes in parts_
  std::vector<iovec> io_;     // of the frame at hand
  // Takes the end of a frame that the driver gave too little room for; never read.
  std::unique_ptr<std::byte[]> overflow_ = std::make_unique<std::byte[]>(kMaxFrameBytes);
};

unsigned NetDevice::Offloads() const {
  if (!Negotiated(kNetGuestCsum)) return 0;
  unsigned offloads = TUN_F_CSUM;
  if (Negotiated(kNetGuestTso4)) offloads |= TUN_F_TSO4;
  if (Negotiated(kNetGuestTso6)) offloads |= TUN_F_TSO6;
  if (Negotiated(kNetGuestEcn)) offloads |= TUN_F_TSO_ECN;
  return offloads;
}

base::Result<void> NetDevice::Activate(DeviceHost& host, const Activation& activation) {
  queues_ = TRY(CreateQueues(*this, host.memory(), activation));
  if (!queues_[kRxQueue] || !queues_[kTxQueue]) {
    return base::MakeError(base::Code::kInvalidArgument, "net: a driver without both queues");
  }
  features_ = activation.features;
  // virtio 1.2, 5.1.6.3.1: what the driver must have room for.
  const size_t largest = (features_ & kGuestSegments) != 0
                             ? kMaxFrameBytes
                             : size_t{14} + 4 + std::max<size_t>(mtu_, 1500);
  wanted_room_ = kHeaderBytes + largest;
  TRY(port_->SetOffloads(Offloads()));
  host_ = &host;
  return WatchPort(true);
}

void NetDevice::Reset() {
  host_ = nullptr;
  watch_.Cancel();
  watching_ = false;
  queues_.clear();
  held_.clear();
  parts_.clear();
  room_ = 0;
}

base::Result<void> NetDevice::Notify(size_t queue) {
  if (host_ == nullptr) return base::Ok();
  if (queue == kTxQueue) return ServeTx();
  if (queue == kRxQueue) return PumpRx();
  return base::Ok();
}

base::Result<void> NetDevice::ServeTx() {
  TRY(ServeQueue(*host_, *queues_[kTxQueue], kTxQueue,
                 [this](const Chain& chain) -> base::Result<size_t> {
                   Send(chain);
                   return size_t{0};
                 }),
      "frame from the guest");
  return base::Ok();
}

// A frame that is wrong, or that the port does not take, is lost, as on any network.
void NetDevice::Send(const Chain& chain) {
  NetHeader header;
  if (CopyFrom(chain.readable, 0, std::as_writable_bytes(std::span(&header, 1))) != kHeaderBytes) {
    return;
  }
  const size_t frame_bytes = chain.readable_bytes - kHeaderBytes;
  if (!IsValidTxHeader(header, frame_bytes, features_)) return;
  header.num_buffers = 0;
  Subrange(chain.readable, kHeaderBytes, frame_bytes, io_);
  io_.insert(io_.begin(), {&header, kHeaderBytes});
  while (writev(port_->fd().get(), io_.data(), static_cast<int>(io_.size())) < 0 &&
         errno == EINTR) {
  }
}

base::Result<void> NetDevice::PumpRx() {
  Queue& queue = *queues_[kRxQueue];
  bool more = true;  // frames may wait
  for (unsigned turn = kTurn; turn > 0 && !port_is_gone_; --turn) {
    TRY(Gather());
    if (!HasRoom()) {
      more = false;
      break;
    }
    io_ = parts_;
    io_.push_back({overflow_.get(), kMaxFrameBytes});
    const ssize_t bytes = readv(port_->fd().get(), io_.data(), static_cast<int>(io_.size()));
    if (bytes >= 0) {
      Deliver(static_cast<size_t>(bytes));
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      // Its network namespace is gone, and the tap with it. The guest keeps a silent link.
      port_is_gone_ = true;
      LOG_WARNING("net: {}", base::ErrnoError("read from the tap").Message());
    }
  }
  if (queue.TakeSignal()) host_->SignalUsed();
  return WatchPort(more && !port_is_gone_);
}

// Takes chains until the largest frame fits, or there are no more.
base::Result<void> NetDevice::Gather() {
  Queue& queue = *queues_[kRxQueue];
  while (!HasRoom()) {
    const std::optional<Chain> chain = TRY(queue.Pop(), "buffer for a frame to the guest");
    if (!chain) return base::Ok();
    if (chain->writable_bytes == 0) {
      return base::MakeError(base::Code::kInvalidArgument,
                             "buffer for a frame: nothing in it is writable");
    }
    held_.push_back({chain->head, chain->writable.size(), chain->writable_bytes});
    parts_.insert(parts_.end(), chain->writable.begin(), chain->writable.end());
    room_ += chain->writable_bytes;
  }
  return base::Ok();
}

// With all that a driver can offer in hand, a small frame may still fit.
bool NetDevice::HasRoom() const {
  if (held_.empty()) return false;
  return room_ >= wanted_room_ || !Negotiated(kNetMrgRxbuf) ||
         held_.size() >= queues_[kRxQueue]->size() || parts_.size() >= kMaxParts;
}

void NetDevice::Deliver(size_t bytes) {
  if (bytes < kHeaderBytes || bytes > room_) return;  // dropped; the buffers stay
  uint16_t buffers = 0;
  size_t parts = 0;
  for (size_t covered = 0; covered < bytes; ++buffers) {
    covered += held_[buffers].bytes;
    parts += held_[buffers].parts;
  }
  // A tap leaves this field alone.
  CopyTo(parts_, offsetof(NetHeader, num_buffers), std::as_bytes(std::span(&buffers, 1)));
  if (!Negotiated(kNetGuestCsum)) {
    constexpr std::byte kNoFlags{0};
    CopyTo(parts_, offsetof(NetHeader, flags), {&kNoFlags, 1});
  }
  Queue& queue = *queues_[kRxQueue];
  for (size_t i = 0, left = bytes; i < buffers; ++i) {
    const size_t written = std::min(left, held_[i].bytes);
    queue.Push(held_[i].head, written);
    left -= written;
    room_ -= held_[i].bytes;
  }
  held_.erase(held_.begin(), held_.begin() + buffers);
  parts_.erase(parts_.begin(), parts_.begin() + static_cast<ptrdiff_t>(parts));
}

base::Result<void> NetDevice::WatchPort(bool wanted) {
  if (port_is_gone_) watch_.Cancel();  // epoll would report it for ever
  if (wanted == watching_) return base::Ok();
  watching_ = wanted;
  if (watch_.active()) return watch_.SetEvents(wanted ? uint32_t{EPOLLIN} : 0);
  if (!wanted) return base::Ok();
  watch_ =
      TRY(host_->loop().WatchFd(port_->fd(), EPOLLIN, [this](uint32_t events) { OnPort(events); }));
  return base::Ok();
}

void NetDevice::OnPort(uint32_t) {
  base::Result<void> pumped = PumpRx();
  if (pumped) return;
  // No call of the transport can return this: it resets us later, until then we rest.
  DeviceHost* const host = host_;
  Reset();
  host->Fail(std::move(pumped.error()));
}

}  // namespace

base::Result<std::unique_ptr<VirtioDevice>> MakeNet(std::unique_ptr<PacketPort> port,
                                                    const NetOptions& options) {
  if ((options.mac[0] & 1) != 0) {
    return base::MakeError(base::Code::kInvalidArgument,
                           "MAC address beginning with {:#04x}: must not be a group's",
                           options.mac[0]);
  }
  // virtio 1.2, 5.1.4.1: at least 1280 where IPv6 is wanted, which is the caller's to know; 68 is
  // IPv4's least (RFC 791).
  constexpr uint16_t kLeastMtu = 68;
  if (options.mtu < kLeastMtu) {
    return base::MakeError(base::Code::kInvalidArgument, "MTU {}: must be {} to 65535", options.mtu,
                           kLeastMtu);
  }
  return std::unique_ptr<VirtioDevice>(std::make_unique<NetDevice>(std::move(port), options));
}

}  // namespace vmm::virtio
