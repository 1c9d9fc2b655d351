// virtio-fs (virtio 1.2, 5.11): the front end of a vhost-user back end, which serves the queues by
// itself in guest memory. Here is only what starts, stops and watches it.
#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "vmm/virtio/devices.h"
#include "vmm/virtio/queue.h"
#include "vmm/virtio/vhost_user.h"

namespace vmm::virtio {
namespace {

// hiprio and one request queue: the back end has one thread a queue, a pod needs one. 1024 entries,
// because Linux sends 1 MiB requests only where one fits the ring.
constexpr uint16_t kQueueSizes[] = {1024, 1024};
constexpr uint32_t kRequestQueues = 1;

// What may pass between driver and back end without our doing: VERSION_1, EVENT_IDX, INDIRECT_DESC.
constexpr uint64_t kFeatureIndirect = 1ull << 28;
constexpr uint64_t kPassedFeatures = kFeatureVersion1 | kFeatureEventIdx | kFeatureIndirect;

// virtio 1.2, 5.11.4 "Device configuration layout"
struct FsConfig {
  char tag[36];                 // 0x00, NUL-padded
  uint32_t num_request_queues;  // 0x24
};
static_assert(sizeof(FsConfig) == 40);

class FsDevice final : public VirtioDevice {
 public:
  FsDevice(VhostUserFrontEnd front_end, uint64_t features, std::string_view tag,
           FsDeathCallback on_death)
      : front_end_(std::move(front_end)), features_(features), on_death_(std::move(on_death)) {
    FsConfig config{.tag = {}, .num_request_queues = kRequestQueues};
    std::memcpy(config.tag, tag.data(), tag.size());
    std::memcpy(config_.data(), &config, sizeof(config));
  }

  std::string_view name() const override { return "fs"; }
  DeviceType type() const override { return DeviceType::kFs; }
  uint64_t features() const override { return features_; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  std::span<const std::byte> config() const override { return config_; }
  bool has_vhost_back_end() const override { return true; }

  base::Result<void> Activate(DeviceHost& host, const Activation& activation) override {
    for (size_t i = 0; i < activation.queues.size(); ++i) {
      if (!activation.queues[i].ready) continue;
      // Made only to be checked: the back end is to find the rings where they may be.
      TRY(Queue::Create(host.memory(), activation.queues[i].config, kQueueSizes[i], false),
          "queue {}", i);
    }
    host_ = &host;
    base::Result<void> started = Start(activation);
    if (started) return base::Ok();
    base::Error error = base::MakeError(base::Code::kUnavailable, "virtiofs back end: {}",
                                        started.error().Message());
    Die(std::move(started.error()));
    return error;
  }

  base::Result<void> Notify(size_t) override { return base::Ok(); }  // the back end has the kicks

  void Reset() override {
    watch_.Cancel();
    for (const uint32_t ring : std::exchange(started_, {})) {
      if (dead_) break;
      base::Result<void> stopped = front_end_.StopRing(ring);
      if (!stopped) Die(std::move(stopped.error()));
    }
    host_ = nullptr;
  }

 private:
  base::Result<void> Start(const Activation& activation) {
    if (dead_) return base::MakeError(base::Code::kUnavailable, "died before");
    // Nothing but answers comes this way, so anything readable is an end of file or a breach.
    watch_ = TRY(host_->loop().WatchFd(front_end_.socket(), EPOLLIN | EPOLLRDHUP,
                                       [this](uint32_t) { OnSocket(); }));
    TRY(front_end_.SetFeatures(activation.features));
    TRY(front_end_.SetMemory(host_->memory()));
    for (uint32_t i = 0; i < activation.queues.size(); ++i) {
      const QueueSetup& queue = activation.queues[i];
      if (!queue.ready) continue;
      TRY(front_end_.StartRing(i, host_->memory(), queue.config, queue.kick, host_->used_eventfd()),
          "queue {}", i);
      started_.push_back(i);
    }
    return base::Ok();
  }

  void OnSocket() {
    DeviceHost* const host = host_;
    Die(base::MakeError(base::Code::kUnavailable, "virtiofs back end: hung up or spoke unasked"));
    host->Fail(base::MakeError(base::Code::kUnavailable, "the back end is gone"));
  }

  void Die(base::Error error) {
    watch_.Cancel();
    if (std::exchange(dead_, true)) return;
    if (on_death_) on_death_(std::move(error));
  }

  VhostUserFrontEnd front_end_;
  const uint64_t features_;
  const FsDeathCallback on_death_;
  std::array<std::byte, sizeof(FsConfig)> config_;
  DeviceHost* host_ = nullptr;  // borrowed from Activate to Reset
  base::Watch watch_;
  std::vector<uint32_t> started_;
  bool dead_ = false;
};

}  // namespace

base::Result<std::unique_ptr<VirtioDevice>> MakeFs(base::UniqueFd socket, std::string_view tag,
                                                   FsDeathCallback on_death) {
  if (tag.empty() || tag.size() > sizeof(FsConfig::tag)) {
    return base::MakeError(base::Code::kInvalidArgument, "virtio-fs tag of {} bytes: 1 to {}",
                           tag.size(), sizeof(FsConfig::tag));
  }
  VhostUserFrontEnd front_end = TRY(VhostUserFrontEnd::Create(std::move(socket)));
  const uint64_t features = TRY(front_end.Negotiate(), "virtiofs back end for tag '{}'", tag);
  if ((features & kFeatureVersion1) == 0) {
    return base::MakeError(base::Code::kUnavailable,
                           "virtiofs back end for tag '{}': no VERSION_1 among features {:#x}", tag,
                           features);
  }
  return std::unique_ptr<VirtioDevice>(std::make_unique<FsDevice>(
      std::move(front_end), features & kPassedFeatures, tag, std::move(on_death)));
}

}  // namespace vmm::virtio
