#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>

#include <cstring>

#include "runtime/base/socket.h"
#include "tests/support/fake_queue.h"
#include "tests/support/socket_port.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/net_header.h"

namespace vmm::virtio {
namespace {

using testing::HasSubstr;
using testing_support::FakeHost;
using testing_support::FakeQueue;
using testing_support::SocketPort;

constexpr uint16_t kSize = 64;

std::string Frame(size_t bytes, char fill = 'f') { return std::string(bytes, fill); }
std::string Bytes(const NetHeader& header) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
}
const std::string kPlain = Bytes({});

class NetTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = base::SocketPair(SOCK_SEQPACKET | SOCK_NONBLOCK);
    ASSERT_TRUE(pair);
    network_ = std::move(pair->second);
    auto device = MakeNet(std::make_unique<SocketPort>(std::move(pair->first), &offloads_),
                          {.mac = {2, 0, 0, 0, 0, 7}, .mtu = 1400});
    ASSERT_TRUE(device);
    device_ = std::move(*device);
  }
  base::Result<void> Activate(uint64_t features) {
    const QueueSetup setups[] = {rx_.setup(), tx_.setup()};
    return device_->Activate(host_, {.features = kFeatureVersion1 | features, .queues = setups});
  }
  void ActivateWith(uint64_t features) { ASSERT_TRUE(Activate(features)); }
  void FromNetwork(const std::string& message) {
    ASSERT_EQ(send(network_.get(), message.data(), message.size(), 0),
              static_cast<ssize_t>(message.size()));
  }
  // Empty: nothing came.
  std::string ToNetwork() {
    std::string message(70000, '\0');
    const ssize_t bytes = recv(network_.get(), message.data(), message.size(), 0);
    message.resize(bytes < 0 ? 0 : static_cast<size_t>(bytes));
    return message;
  }
  void RunLoop() { ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0))); }

  std::unique_ptr<GuestMemory> memory_ = std::move(*GuestMemory::Create(1 << 20));
  std::unique_ptr<base::EventLoop> loop_ = std::move(*base::EventLoop::Create());
  FakeQueue rx_{*memory_, 0, kSize};
  FakeQueue tx_{*memory_, FakeQueue::kSpan, kSize};
  FakeHost host_{*memory_, *loop_};
  base::UniqueFd network_;
  unsigned offloads_ = 0xffff;
  std::unique_ptr<VirtioDevice> device_;
};

uint16_t BuffersOf(const std::string& bytes) {
  NetHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header.num_buffers;
}

TEST_F(NetTest, ConfigurationHoldsAddressAndMtu) {
  const auto config = device_->config();
  ASSERT_EQ(config.size(), 12U);
  EXPECT_EQ(config[0], std::byte{2});
  EXPECT_EQ(config[5], std::byte{7});
  EXPECT_EQ(config[10], std::byte{1400 & 0xff});
  EXPECT_EQ(config[11], std::byte{1400 >> 8});
}

TEST_F(NetTest, RefusesAGroupAddressAndATinyMtu) {
  const auto port = [] {
    return std::make_unique<SocketPort>(
        base::UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
  };
  EXPECT_FALSE(MakeNet(port(), {.mac = {1}, .mtu = 1500}));
  EXPECT_FALSE(MakeNet(port(), {.mac = {2}, .mtu = 67}));
}

TEST_F(NetTest, OnlyWhatTheDriverTookIsLeftToIt) {
  ActivateWith(0);
  EXPECT_EQ(offloads_, 0U);
  device_->Reset();
  ActivateWith(kNetGuestCsum | kNetGuestTso6);
  EXPECT_EQ(offloads_, unsigned{TUN_F_CSUM | TUN_F_TSO6});
}

TEST_F(NetTest, DriverWithOneQueueIsRefused) {
  const QueueSetup setups[] = {rx_.setup(), {}};
  EXPECT_FALSE(device_->Activate(host_, {.features = kFeatureVersion1, .queues = setups}));
}

TEST_F(NetTest, FrameOfTheGuestReachesTheNetwork) {
  ActivateWith(0);
  tx_.Add({kPlain + Frame(20, 'a'), Frame(30, 'b')}, {});
  ASSERT_TRUE(device_->Notify(1));
  EXPECT_EQ(ToNetwork(), kPlain + Frame(20, 'a') + Frame(30, 'b'));
  EXPECT_EQ(tx_.TakeUsed()->length, 0U);
  EXPECT_EQ(host_.signals, 1);
}

TEST_F(NetTest, HeaderMayBeSplitAtAnyByte) {
  ActivateWith(0);
  tx_.Add({kPlain.substr(0, 5), kPlain.substr(5) + Frame(3), Frame(60)}, {});
  ASSERT_TRUE(device_->Notify(1));
  EXPECT_EQ(ToNetwork(), kPlain + Frame(63));
}

TEST_F(NetTest, FrameThatIsNoFrameIsGivenBackAndLost) {
  ActivateWith(0);
  tx_.Add({"short"}, {});
  tx_.Add({kPlain}, {});
  tx_.Add({kPlain + Frame(13)}, {});
  tx_.Add({}, {64});
  tx_.Add({kPlain, Frame(40000), Frame(26000)}, {});
  NetHeader unasked{};
  unasked.flags = kNetNeedsCsum;
  unasked.csum_start = 14;
  tx_.Add({Bytes(unasked) + Frame(60)}, {});
  ASSERT_TRUE(device_->Notify(1));
  EXPECT_EQ(ToNetwork(), "");
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(tx_.TakeUsed()) << i;
}

TEST_F(NetTest, NetworkThatTakesNothingDoesNotStopTheGuest) {
  ActivateWith(0);
  network_.Reset();  // every write fails from now on
  tx_.Add({kPlain + Frame(60)}, {});
  ASSERT_TRUE(device_->Notify(1));
  EXPECT_TRUE(tx_.TakeUsed());
}

TEST_F(NetTest, FrameFromTheNetworkTakesOneBuffer) {
  ActivateWith(0);
  rx_.Add({}, {12, 2000});
  ASSERT_TRUE(device_->Notify(0));
  EXPECT_FALSE(rx_.TakeUsed());
  FromNetwork(kPlain + Frame(100));
  RunLoop();
  const auto used = rx_.TakeUsed();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->length, 112U);
  EXPECT_EQ(BuffersOf(used->bytes), 1);
  EXPECT_EQ(used->bytes.substr(12, 100), Frame(100));
  EXPECT_EQ(host_.signals, 1);
}

TEST_F(NetTest, FramesWaitForBuffersWithoutSpinning) {
  ActivateWith(0);
  FromNetwork(kPlain + Frame(100));
  RunLoop();  // finds no buffer, and stops listening
  EXPECT_FALSE(rx_.TakeUsed());
  rx_.Add({}, {2000});
  RunLoop();
  EXPECT_FALSE(rx_.TakeUsed()) << "it still listens, though nothing can be done";
  ASSERT_TRUE(device_->Notify(0));
  EXPECT_EQ(rx_.TakeUsed()->length, 112U);
}

TEST_F(NetTest, LargeFrameIsSpreadOverMergedBuffers) {
  ActivateWith(kNetMrgRxbuf);
  for (int i = 0; i < 10; ++i) rx_.Add({}, {500});
  ASSERT_TRUE(device_->Notify(0));
  FromNetwork(kPlain + Frame(1200));
  FromNetwork(kPlain + Frame(60, 'g'));
  RunLoop();
  const auto first = rx_.TakeUsed();
  ASSERT_TRUE(first);
  EXPECT_EQ(BuffersOf(first->bytes), 3);
  EXPECT_EQ(first->length, 500U);
  EXPECT_EQ(rx_.TakeUsed()->length, 500U);
  EXPECT_EQ(rx_.TakeUsed()->length, 212U);
  const auto next = rx_.TakeUsed();
  ASSERT_TRUE(next);
  EXPECT_EQ(BuffersOf(next->bytes), 1);
  EXPECT_EQ(next->bytes.substr(12, 60), Frame(60, 'g'));
}

TEST_F(NetTest, MergedHeaderMayBeSplitOverBuffers) {
  ActivateWith(kNetMrgRxbuf);
  for (int i = 0; i < 64; ++i) rx_.Add({}, {11});
  ASSERT_TRUE(device_->Notify(0));
  FromNetwork(kPlain + Frame(20));
  RunLoop();
  std::string bytes;
  for (auto used = rx_.TakeUsed(); used; used = rx_.TakeUsed()) {
    bytes += used->bytes.substr(0, used->length);
  }
  ASSERT_EQ(bytes.size(), 32U);
  EXPECT_EQ(BuffersOf(bytes), 3);
}

TEST_F(NetTest, MergingWaitsUntilTheLargestFrameFits) {
  ActivateWith(kNetMrgRxbuf);
  rx_.Add({}, {1000});
  ASSERT_TRUE(device_->Notify(0));
  FromNetwork(kPlain + Frame(1200));
  RunLoop();
  EXPECT_FALSE(rx_.TakeUsed());
  rx_.Add({}, {1000});
  ASSERT_TRUE(device_->Notify(0));
  EXPECT_EQ(rx_.TakeUsed()->length, 1000U);
  EXPECT_EQ(rx_.TakeUsed()->length, 212U);
}

TEST_F(NetTest, FrameLargerThanItsBufferIsLostAndTheBufferIsNot) {
  ActivateWith(0);
  rx_.Add({}, {100});
  ASSERT_TRUE(device_->Notify(0));
  FromNetwork(kPlain + Frame(200));
  FromNetwork(kPlain + Frame(50));
  RunLoop();
  EXPECT_EQ(rx_.TakeUsed()->length, 62U);
  EXPECT_FALSE(rx_.TakeUsed());
}

TEST_F(NetTest, FullQueueOfTinyBuffersStillTakesSmallFrames) {
  ActivateWith(kNetMrgRxbuf | kNetGuestTso4);
  for (int i = 0; i < kSize; ++i) rx_.Add({}, {64});
  ASSERT_TRUE(device_->Notify(0));
  FromNetwork(kPlain + Frame(9000));
  FromNetwork(kPlain + Frame(20));
  RunLoop();
  EXPECT_EQ(rx_.TakeUsed()->length, 32U);
}

TEST_F(NetTest, ChecksumFlagNeedsItsFeature) {
  NetHeader header{};
  header.flags = kNetDataValid;
  ActivateWith(0);
  rx_.Add({}, {2000});
  FromNetwork(Bytes(header) + Frame(60));
  ASSERT_TRUE(device_->Notify(0));
  EXPECT_EQ(rx_.TakeUsed()->bytes[0], 0);
}

TEST_F(NetTest, ChecksumFlagIsKeptForADriverThatKnowsIt) {
  NetHeader header{};
  header.flags = kNetDataValid;
  ActivateWith(kNetGuestCsum);
  rx_.Add({}, {2000});
  FromNetwork(Bytes(header) + Frame(60));
  ASSERT_TRUE(device_->Notify(0));
  EXPECT_EQ(rx_.TakeUsed()->bytes[0], kNetDataValid);
}

TEST_F(NetTest, BufferWithoutRoomBreaksTheDevice) {
  ActivateWith(0);
  rx_.Add({"readable"}, {});
  auto notified = device_->Notify(0);
  ASSERT_FALSE(notified);
  EXPECT_THAT(notified.error().Message(), HasSubstr("nothing in it is writable"));
}

TEST_F(NetTest, BrokenQueueFoundOnTheReactorIsReported) {
  ActivateWith(0);
  rx_.SetAvailableIndex(kSize + 1);
  FromNetwork(kPlain + Frame(100));
  RunLoop();
  ASSERT_EQ(host_.failures.size(), 1U);
  EXPECT_THAT(host_.failures[0], HasSubstr("available index"));
  RunLoop();
  EXPECT_EQ(host_.failures.size(), 1U);
}

TEST_F(NetTest, PortThatIsGoneLeavesASilentLink) {
  ActivateWith(0);
  rx_.Add({}, {2000});
  ASSERT_TRUE(device_->Notify(0));
  ASSERT_EQ(shutdown(network_.get(), SHUT_RDWR), 0);
  network_.Reset();
  for (int i = 0; i < 3; ++i) RunLoop();
  EXPECT_THAT(host_.failures, testing::IsEmpty());
  tx_.Add({kPlain + Frame(60)}, {});
  EXPECT_TRUE(device_->Notify(1));
  EXPECT_TRUE(tx_.TakeUsed());
}

TEST_F(NetTest, NothingMovesAfterReset) {
  ActivateWith(0);
  rx_.Add({}, {2000});
  ASSERT_TRUE(device_->Notify(0));
  device_->Reset();
  FromNetwork(kPlain + Frame(100));
  RunLoop();
  EXPECT_TRUE(device_->Notify(0));
  EXPECT_TRUE(device_->Notify(1));
  EXPECT_FALSE(rx_.TakeUsed());
}

constexpr uint64_t kAllTx = kNetCsum | kNetHostTso4 | kNetHostTso6 | kNetHostEcn;

NetHeader Segmented() {
  NetHeader header{};
  header.flags = kNetNeedsCsum;
  header.gso_type = kNetGsoTcp4;
  header.hdr_len = 54;
  header.gso_size = 1348;
  header.csum_start = 34;
  header.csum_offset = 16;
  return header;
}

TEST(TxHeader, WhatWasNegotiatedIsTaken) {
  EXPECT_TRUE(IsValidTxHeader({}, 60, 0));
  NetHeader header = Segmented();
  EXPECT_TRUE(IsValidTxHeader(header, 60000, kAllTx));
  header.gso_type |= kNetGsoEcn;
  EXPECT_TRUE(IsValidTxHeader(header, 60000, kAllTx));
  header.gso_type = kNetGsoTcp6;
  EXPECT_TRUE(IsValidTxHeader(header, kMaxFrameBytes, kAllTx));
}

TEST(TxHeader, WhatWasNotNegotiatedIsRefused) {
  for (const uint64_t missing : {kNetCsum, kNetHostTso4}) {
    EXPECT_FALSE(IsValidTxHeader(Segmented(), 60000, kAllTx & ~missing)) << missing;
  }
  NetHeader header = Segmented();
  header.gso_type |= kNetGsoEcn;
  EXPECT_FALSE(IsValidTxHeader(header, 60000, kAllTx & ~kNetHostEcn));
  header.gso_type = kNetGsoUdp;
  EXPECT_FALSE(IsValidTxHeader(header, 60000, kAllTx));
}

TEST(TxHeader, NumbersBeyondTheFrameAreRefused) {
  const auto refused = [](auto change, size_t frame_bytes = 1000) {
    NetHeader header = Segmented();
    change(header);
    return !IsValidTxHeader(header, frame_bytes, kAllTx);
  };
  EXPECT_TRUE(refused([](auto& h) { h.hdr_len = 1001; }));
  EXPECT_TRUE(refused([](auto& h) { h.csum_start = 13; }));
  EXPECT_TRUE(refused([](auto& h) { h.csum_start = 983; }));
  EXPECT_TRUE(refused([](auto& h) { h.csum_start = h.csum_offset = 0xffff; }));
  EXPECT_TRUE(refused([](auto& h) { h.gso_size = 0; }));
  EXPECT_TRUE(refused([](auto& h) { h.flags = 0; }));
  EXPECT_TRUE(refused([](auto& h) { h.flags |= kNetRscInfo; }));
  EXPECT_TRUE(refused([](auto& h) { h.gso_type = 0x7f; }));
  EXPECT_TRUE(refused([](auto&) {}, kMaxFrameBytes + 1));
  EXPECT_FALSE(refused([](auto&) {}));
}

TEST(TapPort, SomethingElseThanATapIsRefused) {
  EXPECT_FALSE(MakeTapPort(base::UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))));
}

}  // namespace
}  // namespace vmm::virtio
