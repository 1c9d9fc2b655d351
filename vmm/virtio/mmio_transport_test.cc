#include "vmm/virtio/mmio_transport.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "tests/support/fake_queue.h"
#include "vmm/virtio/mmio_registers.h"

namespace vmm::virtio {
namespace {

using testing_support::FakeQueue;

struct FakeLine final : IrqLine {
  void Trigger() override { ++edges; }
  base::BorrowedFd eventfd() override { return {}; }
  std::atomic<int> edges{0};
};

struct FakeDoorbells final : DoorbellRegistrar {
  base::Result<void> Register(GuestAddress mmio, uint32_t match, base::BorrowedFd fd) override {
    fds[{mmio.value, match}] = fd.get();
    return base::Ok();
  }
  std::map<std::pair<uint64_t, uint32_t>, int> fds;
};

struct FakeDevice final : VirtioDevice {
  std::string_view name() const override { return "fake"; }
  DeviceType type() const override { return DeviceType::kEntropy; }
  uint64_t features() const override { return kFeatureVersion1 | 1; }
  std::span<const uint16_t> queue_sizes() const override { return sizes; }
  std::span<const std::byte> config() const override { return std::as_bytes(std::span(text, 5)); }
  bool has_vhost_back_end() const override { return vhost; }
  base::Result<void> Activate(DeviceHost& host_in, const Activation& activation) override {
    host = &host_in;
    ++activations;
    ready = {activation.queues[0].ready, activation.queues[1].ready};
    if (refuse) return base::MakeError(base::Code::kInvalidArgument, "refused");
    return base::Ok();
  }
  base::Result<void> Notify(size_t queue) override {
    notified.push_back(queue);
    if (broken) return base::MakeError(base::Code::kInvalidArgument, "broken");
    return base::Ok();
  }
  void Reset() override { ++resets; }

  const uint16_t sizes[2] = {8, 16};
  const char* text = "abcde";
  bool vhost = false, refuse = false, broken = false;
  DeviceHost* host = nullptr;
  int activations = 0, resets = 0;
  std::vector<bool> ready;
  std::vector<size_t> notified;
};

class MmioTest : public testing::Test {
 protected:
  void SetUp() override { Start(std::make_unique<FakeDevice>()); }
  void Start(std::unique_ptr<FakeDevice> device) {
    transport_.reset();
    device_ = device.get();
    auto made = MmioTransport::Create(std::move(device), {*memory_, line_, *loop_, doorbells_},
                                      {0xd0000000});
    ASSERT_TRUE(made);
    transport_ = std::move(*made);
  }
  uint32_t Get(uint64_t offset) {
    uint32_t value = 0xdeadbeef;
    transport_->Read(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void Set(uint64_t offset, uint32_t value) {
    transport_->Write(offset, std::as_bytes(std::span(&value, 1)));
  }
  void RunLoop() {
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
  }
  void NegotiateFeatures() {
    Set(mmio::kStatus, 1);
    Set(mmio::kStatus, 3);
    Set(mmio::kDriverFeaturesSel, 1);
    Set(mmio::kDriverFeatures, 1);
    Set(mmio::kStatus, 11);
  }
  void SetQueue(uint32_t index) {
    const QueueConfig config = fake_.config();
    Set(mmio::kQueueSel, index);
    Set(mmio::kQueueNum, config.size);
    Set(mmio::kQueueDescLow, static_cast<uint32_t>(config.descriptors.value));
    Set(mmio::kQueueDriverLow, static_cast<uint32_t>(config.driver.value));
    Set(mmio::kQueueDeviceLow, static_cast<uint32_t>(config.device.value));
    Set(mmio::kQueueReady, 1);
  }
  void Boot() {
    NegotiateFeatures();
    SetQueue(0);
    Set(mmio::kStatus, 15);
    RunLoop();
  }
  // The reset of an active device waits for the reactor.
  void ResetWithLoop() {
    std::jthread vcpu([this] { Set(mmio::kStatus, 0); });
    while (Get(mmio::kStatus) != 0) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(1)));
  }

  std::unique_ptr<GuestMemory> memory_ = std::move(*GuestMemory::Create(1 << 20));
  std::unique_ptr<base::EventLoop> loop_ = std::move(*base::EventLoop::Create());
  FakeQueue fake_{*memory_, 0, 8};
  FakeLine line_;
  FakeDoorbells doorbells_;
  std::unique_ptr<MmioTransport> transport_;
  FakeDevice* device_ = nullptr;
};

TEST_F(MmioTest, IdentifiesItself) {
  EXPECT_EQ(Get(mmio::kMagicValue), 0x74726976U);
  EXPECT_EQ(Get(mmio::kVersion), 2U);
  EXPECT_EQ(Get(mmio::kDeviceId), 4U);
  EXPECT_EQ(Get(mmio::kDeviceFeatures), 1U);
  Set(mmio::kDeviceFeaturesSel, 1);
  EXPECT_EQ(Get(mmio::kDeviceFeatures), 1U);
  Set(mmio::kDeviceFeaturesSel, 2);
  EXPECT_EQ(Get(mmio::kDeviceFeatures), 0U);
  EXPECT_EQ(Get(mmio::kShmLenLow), 0xffffffffU);
}

TEST_F(MmioTest, SpareSlotShowsNoDeviceAndTakesNoWrites) {
  auto made = MmioTransport::Create(nullptr, {*memory_, line_, *loop_, doorbells_}, {0xd0001000});
  ASSERT_TRUE(made);
  transport_ = std::move(*made);
  EXPECT_EQ(Get(mmio::kMagicValue), 0x74726976U);
  EXPECT_EQ(Get(mmio::kDeviceId), 0U);
  Set(mmio::kStatus, 1);
  Set(mmio::kQueueNotify, 0);
  EXPECT_EQ(Get(mmio::kStatus), 0U);
  EXPECT_EQ(Get(mmio::kConfig), 0U);
}

TEST_F(MmioTest, SpareSlotTakesOneDeviceThatThenWorksAsIfItHadAlwaysBeenThere) {
  auto made = MmioTransport::Create(nullptr, {*memory_, line_, *loop_, doorbells_}, {0xd0001000});
  ASSERT_TRUE(made);
  transport_ = std::move(*made);
  Set(mmio::kStatus, 1);  // what a driver that takes no heed of DeviceID 0 has written is lost
  auto device = std::make_unique<FakeDevice>();
  device_ = device.get();
  ASSERT_TRUE(transport_->Plug(std::move(device)));
  EXPECT_TRUE((doorbells_.fds.contains({0xd0001050, 1})));
  EXPECT_EQ(Get(mmio::kDeviceId), 4U);
  EXPECT_EQ(Get(mmio::kStatus), 0U);
  Boot();
  EXPECT_EQ(device_->activations, 1);
  const auto second = transport_->Plug(std::make_unique<FakeDevice>());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), base::Code::kFailedPrecondition);
  EXPECT_EQ(Get(mmio::kStatus), 15U) << "the first goes on";
}

TEST_F(MmioTest, DoorbellForEachQueue) {
  EXPECT_TRUE((doorbells_.fds.contains({0xd0000050, 0})));
  EXPECT_TRUE((doorbells_.fds.contains({0xd0000050, 1})));
}

TEST_F(MmioTest, ConfigReadsOfAnyWidthEndInZeroes) {
  EXPECT_EQ(Get(mmio::kConfig + 4), uint32_t{'e'});
  EXPECT_EQ(Get(mmio::kConfig + 0x800), 0U);
  uint8_t byte = 9;
  transport_->Read(mmio::kConfig + 1, std::as_writable_bytes(std::span(&byte, 1)));
  EXPECT_EQ(byte, 'b');
}

TEST_F(MmioTest, NarrowOrUnalignedRegisterAccessIsIgnored) {
  uint16_t half = 9;
  transport_->Read(mmio::kMagicValue, std::as_writable_bytes(std::span(&half, 1)));
  EXPECT_EQ(half, 0);
  EXPECT_EQ(Get(mmio::kMagicValue + 2), 0U);
  half = 1;
  transport_->Write(mmio::kStatus, std::as_bytes(std::span(&half, 1)));
  EXPECT_EQ(Get(mmio::kStatus), 0U);
}

TEST_F(MmioTest, BootActivatesAndLooksAtReadyQueues) {
  Boot();
  EXPECT_EQ(Get(mmio::kStatus), 15U);
  EXPECT_EQ(device_->activations, 1);
  EXPECT_EQ(device_->ready, (std::vector<bool>{true, false}));
  EXPECT_EQ(device_->notified, std::vector<size_t>{0});
  Set(mmio::kQueueNotify, 1);
  Set(mmio::kQueueNotify, 99);
  RunLoop();
  EXPECT_EQ(device_->notified, (std::vector<size_t>{0, 1}));
}

TEST_F(MmioTest, SkippedStatusStepNeedsReset) {
  Set(mmio::kStatus, 1);
  Set(mmio::kStatus, 1 | 4);
  EXPECT_EQ(Get(mmio::kStatus), 1U | mmio::kNeedsReset);
  EXPECT_EQ(line_.edges, 0);  // before DRIVER_OK the driver is not told
  Set(mmio::kStatus, 3);
  EXPECT_EQ(Get(mmio::kStatus), 1U | mmio::kNeedsReset);
  Set(mmio::kStatus, 0);
  EXPECT_EQ(Get(mmio::kStatus), 0U);
}

TEST_F(MmioTest, StatusBitTakenBackNeedsReset) {
  Boot();
  Set(mmio::kStatus, 7);
  EXPECT_EQ(Get(mmio::kStatus), 15U | mmio::kNeedsReset);
  EXPECT_EQ(Get(mmio::kInterruptStatus), mmio::kConfigChange);
  EXPECT_EQ(line_.edges, 1);
}

TEST_F(MmioTest, FeaturesNotOfferedAreRefused) {
  Set(mmio::kStatus, 1);
  Set(mmio::kStatus, 3);
  Set(mmio::kDriverFeatures, 2);
  Set(mmio::kDriverFeaturesSel, 1);
  Set(mmio::kDriverFeatures, 1);
  Set(mmio::kStatus, 11);
  EXPECT_EQ(Get(mmio::kStatus), 3U);
}

TEST_F(MmioTest, LegacyDriverIsRefused) {
  Set(mmio::kStatus, 1);
  Set(mmio::kStatus, 3);
  Set(mmio::kStatus, 11);
  EXPECT_EQ(Get(mmio::kStatus), 3U);
}

TEST_F(MmioTest, QueueRegistersAreFrozenOutsideSetUp) {
  SetQueue(0);  // before FEATURES_OK
  EXPECT_EQ(Get(mmio::kQueueReady), 0U);
  Boot();
  Set(mmio::kQueueReady, 0);
  EXPECT_EQ(Get(mmio::kQueueReady), 1U);
  Set(mmio::kQueueSel, 5);
  EXPECT_EQ(Get(mmio::kQueueNumMax), 0U);
  Set(mmio::kQueueNum, 8);
}

TEST_F(MmioTest, ActivationThatFailsNeedsReset) {
  device_->refuse = true;
  Boot();
  EXPECT_EQ(Get(mmio::kStatus), 15U | mmio::kNeedsReset);
  EXPECT_EQ(Get(mmio::kInterruptStatus), mmio::kConfigChange);
  EXPECT_EQ(device_->resets, 1);
}

TEST_F(MmioTest, BrokenQueueNeedsResetAndIsLeftAlone) {
  Boot();
  device_->broken = true;
  Set(mmio::kQueueNotify, 0);
  RunLoop();
  EXPECT_EQ(Get(mmio::kStatus), 15U | mmio::kNeedsReset);
  EXPECT_EQ(device_->resets, 1);
  const size_t before = device_->notified.size();
  Set(mmio::kQueueNotify, 0);
  RunLoop();
  EXPECT_EQ(device_->notified.size(), before);
}

TEST_F(MmioTest, ResetStopsTheDeviceAndForgetsAll) {
  Boot();
  device_->host->SignalUsed();
  ResetWithLoop();
  EXPECT_EQ(device_->resets, 1);
  EXPECT_EQ(Get(mmio::kInterruptStatus), 0U);
  EXPECT_EQ(Get(mmio::kQueueReady), 0U);
  Boot();
  EXPECT_EQ(device_->activations, 2);
  EXPECT_EQ(Get(mmio::kStatus), 15U);
}

TEST_F(MmioTest, ResetRightAfterDriverOkStillActivatesFirst) {
  NegotiateFeatures();
  SetQueue(0);
  Set(mmio::kStatus, 15);
  ResetWithLoop();
  EXPECT_EQ(device_->activations, 1);
  EXPECT_EQ(device_->resets, 1);
}

TEST_F(MmioTest, UsedBufferInterruptIsAcknowledged) {
  Boot();
  device_->host->SignalUsed();
  EXPECT_EQ(line_.edges, 1);
  EXPECT_EQ(Get(mmio::kInterruptStatus), mmio::kUsedBuffer);
  Set(mmio::kInterruptAck, mmio::kUsedBuffer);
  EXPECT_EQ(Get(mmio::kInterruptStatus), 0U);
}

TEST_F(MmioTest, VhostDeviceAlwaysShowsUsedBuffersWhileItRuns) {
  auto device = std::make_unique<FakeDevice>();
  device->vhost = true;
  Start(std::move(device));
  EXPECT_EQ(Get(mmio::kInterruptStatus), 0U);
  Boot();
  EXPECT_EQ(Get(mmio::kInterruptStatus), mmio::kUsedBuffer);
  Set(mmio::kQueueNotify, 0);
  RunLoop();
  EXPECT_TRUE(device_->notified.empty());
}

TEST_F(MmioTest, TransportMayGoBeforeItsPostedActivation) {
  NegotiateFeatures();
  Set(mmio::kStatus, 15);
  transport_.reset();
  RunLoop();
}

}  // namespace
}  // namespace vmm::virtio
