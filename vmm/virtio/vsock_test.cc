#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <map>

#include "tests/support/fake_queue.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/vsock_packet.h"

namespace vmm::virtio {
namespace {

using testing_support::FakeHost;
using testing_support::FakeQueue;

constexpr uint64_t kCid = 3;
constexpr uint32_t kGuestPort = 700;
constexpr uint32_t kHostPort = 1024;

struct Packet {
  VsockHeader header;
  std::string payload;
};

class VsockTest : public testing::Test {
 protected:
  void SetUp() override {
    device_ = std::move(*MakeVsock(
        kCid, [this](uint32_t host, uint32_t guest, base::UniqueFd fd) -> base::Result<void> {
          if (refuse_) return base::MakeError(base::Code::kUnavailable, "nobody listens");
          streams_[{guest, host}] = std::move(fd);
          return base::Ok();
        }));
    const QueueSetup setups[] = {rx_.setup(), tx_.setup(), QueueSetup{}};
    ASSERT_TRUE(device_->Activate(host_, {.features = kFeatureVersion1, .queues = setups}));
  }
  static VsockHeader Header(VsockOp op, uint32_t length = 0) {
    return {.source_cid = kCid,
            .destination_cid = kVsockHostCid,
            .source_port = kGuestPort,
            .destination_port = kHostPort,
            .length = length,
            .type = kVsockTypeStream,
            .op = op,
            .buffer_bytes = 1 << 18};
  }
  static std::string Bytes(const VsockHeader& header) {
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
  }
  bool Send(const VsockHeader& header, const std::string& payload = {}) {
    tx_.Add(payload.empty() ? std::vector{Bytes(header)} : std::vector{Bytes(header), payload}, {});
    const bool fine = device_->Notify(1).has_value();
    EXPECT_TRUE(!fine || tx_.TakeUsed());
    return fine;
  }
  void SendData(const std::string& payload) {
    ASSERT_TRUE(Send(Header(VsockOp::kData, static_cast<uint32_t>(payload.size())), payload));
  }
  void OfferBuffers(int count, uint32_t size = 4096) {
    for (int i = 0; i < count; ++i) rx_.Add({}, {44, size});
    ASSERT_TRUE(device_->Notify(0));
  }
  void RunLoop() {
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
  }
  // The next packet for the guest.
  std::optional<Packet> Take() {
    const auto used = rx_.TakeUsed();
    if (!used) return std::nullopt;
    Packet packet;
    std::memcpy(&packet.header, used->bytes.data(), sizeof(packet.header));
    packet.payload = used->bytes.substr(44, packet.header.length);
    EXPECT_EQ(used->length, 44 + packet.header.length);
    return packet;
  }
  VsockOp TakeOp() {
    const auto packet = Take();
    return packet ? packet->header.op : VsockOp::kInvalid;
  }
  int Stream() { return streams_[{kGuestPort, kHostPort}].get(); }
  void Connect() {
    OfferBuffers(16);
    ASSERT_TRUE(Send(Header(VsockOp::kRequest)));
    ASSERT_EQ(TakeOp(), VsockOp::kResponse);
    ASSERT_GE(Stream(), 0);
  }
  std::string ReadStream(size_t limit = 1 << 20) {
    std::string bytes(limit, '\0');
    const ssize_t got = recv(Stream(), bytes.data(), limit, MSG_DONTWAIT);
    if (got < 0) return "errno";
    bytes.resize(static_cast<size_t>(got));
    return bytes;
  }
  void WriteStream(const std::string& bytes) {
    ASSERT_EQ(send(Stream(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT),
              static_cast<ssize_t>(bytes.size()));
  }

  // Sends until the device has to buffer and credit stops coming back. The bytes sent.
  uint32_t FillHost() {
    const std::string block(32768, 'b');
    uint32_t sent = 0, forwarded = 0;
    while (sent - forwarded + block.size() <= 65536 && sent < 8U << 20) {
      SendData(block);
      sent += static_cast<uint32_t>(block.size());
      EXPECT_TRUE(Send(Header(VsockOp::kCreditRequest)));
      for (std::optional<Packet> packet; (packet = Take());) {
        forwarded = packet->header.forwarded_bytes;
        OfferBuffers(1);
      }
    }
    EXPECT_LT(sent, 8U << 20);
    return sent;
  }
  // Reads to the end of file. The bytes that came.
  size_t DrainHost() {
    size_t read = 0;
    for (std::string bytes = ReadStream(); !bytes.empty(); bytes = ReadStream()) {
      if (bytes != "errno") read += bytes.size();
      RunLoop();
    }
    return read;
  }

  std::unique_ptr<GuestMemory> memory_ = std::move(*GuestMemory::Create(1 << 20));
  std::unique_ptr<base::EventLoop> loop_ = std::move(*base::EventLoop::Create());
  FakeHost host_{*memory_, *loop_};
  FakeQueue rx_{*memory_, 0, 256};
  FakeQueue tx_{*memory_, FakeQueue::kSpan, 256};
  std::map<std::pair<uint32_t, uint32_t>, base::UniqueFd> streams_;
  bool refuse_ = false;
  std::unique_ptr<VirtioDevice> device_;
};

TEST_F(VsockTest, ConnectsAndCarriesBytesBothWays) {
  Connect();
  SendData("to the host");
  EXPECT_EQ(ReadStream(), "to the host");
  WriteStream("to the guest");
  RunLoop();
  const auto packet = Take();
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->header.op, VsockOp::kData);
  EXPECT_EQ(packet->payload, "to the guest");
  EXPECT_EQ(packet->header.source_cid, kVsockHostCid);
  EXPECT_EQ(packet->header.destination_cid, kCid);
  EXPECT_EQ(packet->header.source_port, kHostPort);
  EXPECT_EQ(packet->header.destination_port, kGuestPort);
  EXPECT_EQ(packet->header.forwarded_bytes, 11U);
}

TEST_F(VsockTest, RefusedConnectionIsReset) {
  refuse_ = true;
  OfferBuffers(1);
  ASSERT_TRUE(Send(Header(VsockOp::kRequest)));
  EXPECT_EQ(TakeOp(), VsockOp::kReset);
}

TEST_F(VsockTest, PacketForNoConnectionIsReset) {
  OfferBuffers(4);
  ASSERT_TRUE(Send(Header(VsockOp::kData, 1), "x"));
  EXPECT_EQ(TakeOp(), VsockOp::kReset);
  ASSERT_TRUE(Send(Header(VsockOp::kReset)));
  EXPECT_FALSE(Take());
}

TEST_F(VsockTest, ForgedSourceIsDropped) {
  OfferBuffers(1);
  VsockHeader header = Header(VsockOp::kRequest);
  header.source_cid = 4;
  ASSERT_TRUE(Send(header));
  EXPECT_TRUE(streams_.empty());
  EXPECT_FALSE(Take());
}

TEST_F(VsockTest, OtherDestinationOrTypeIsReset) {
  OfferBuffers(2);
  VsockHeader header = Header(VsockOp::kRequest);
  header.destination_cid = 77;
  ASSERT_TRUE(Send(header));
  EXPECT_EQ(TakeOp(), VsockOp::kReset);
  header = Header(VsockOp::kRequest);
  header.type = 2;
  ASSERT_TRUE(Send(header));
  EXPECT_EQ(TakeOp(), VsockOp::kReset);
  EXPECT_TRUE(streams_.empty());
}

TEST_F(VsockTest, HeaderShorterThanAHeaderIsDropped) {
  tx_.Add({std::string(43, 'x')}, {});
  EXPECT_TRUE(device_->Notify(1));
  EXPECT_TRUE(tx_.TakeUsed());
}

TEST_F(VsockTest, PayloadShorterThanAnnouncedIsDropped) {
  Connect();
  ASSERT_TRUE(Send(Header(VsockOp::kData, 100), "short"));
  EXPECT_EQ(ReadStream(), "errno");
  ASSERT_TRUE(Send(Header(VsockOp::kData, 0xffffffff), "short"));
  EXPECT_EQ(ReadStream(), "errno");
}

TEST_F(VsockTest, SecondRequestForAConnectionResetsIt) {
  Connect();
  ASSERT_TRUE(Send(Header(VsockOp::kRequest)));
  EXPECT_EQ(TakeOp(), VsockOp::kReset);
  EXPECT_EQ(ReadStream(), "");
}

TEST_F(VsockTest, UnknownOperationResetsTheConnection) {
  Connect();
  ASSERT_TRUE(Send(Header(static_cast<VsockOp>(99))));
  EXPECT_EQ(TakeOp(), VsockOp::kReset);
}

TEST_F(VsockTest, GuestCloseDeliversEverythingThenEnds) {
  Connect();
  SendData("last words");
  VsockHeader header = Header(VsockOp::kShutdown);
  header.flags = kVsockShutdownBoth;
  ASSERT_TRUE(Send(header));
  EXPECT_EQ(TakeOp(), VsockOp::kReset);
  EXPECT_EQ(ReadStream(), "last words");
  EXPECT_EQ(ReadStream(), "");
}

TEST_F(VsockTest, GuestHalfCloseLeavesTheOtherWayOpen) {
  Connect();
  SendData("request");
  VsockHeader header = Header(VsockOp::kShutdown);
  header.flags = kVsockShutdownSend;
  ASSERT_TRUE(Send(header));
  EXPECT_EQ(ReadStream(), "request");
  EXPECT_EQ(ReadStream(), "");
  WriteStream("answer");
  RunLoop();
  EXPECT_EQ(Take()->payload, "answer");
}

TEST_F(VsockTest, HostHalfCloseLeavesTheOtherWayOpen) {
  Connect();
  WriteStream("eof follows");
  ASSERT_EQ(shutdown(Stream(), SHUT_WR), 0);
  RunLoop();
  EXPECT_EQ(Take()->payload, "eof follows");
  RunLoop();
  const auto packet = Take();
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->header.op, VsockOp::kShutdown);
  EXPECT_EQ(packet->header.flags, kVsockShutdownSend);
  SendData("still here");
  EXPECT_EQ(ReadStream(), "still here");
}

TEST_F(VsockTest, HostCloseDeliversEverythingThenShutsDownBothWays) {
  Connect();
  WriteStream("parting gift");
  streams_.clear();
  RunLoop();
  std::string got;
  uint32_t flags = 0;
  while (const auto packet = Take()) {
    got += packet->payload;
    if (packet->header.op == VsockOp::kShutdown) flags |= packet->header.flags;
  }
  EXPECT_EQ(got, "parting gift");
  EXPECT_EQ(flags, kVsockShutdownBoth);
  // The guest may still send, not knowing; then it resets.
  SendData("too late");
  ASSERT_TRUE(Send(Header(VsockOp::kReset)));
  RunLoop();
  EXPECT_TRUE(host_.failures.empty());
}

TEST_F(VsockTest, SlowHostHoldsTheGuestByCreditAndLosesNothing) {
  Connect();
  const uint32_t sent = FillHost();
  VsockHeader header = Header(VsockOp::kShutdown);
  header.flags = kVsockShutdownBoth;
  ASSERT_TRUE(Send(header));
  ASSERT_TRUE(Send(Header(VsockOp::kReset)));  // the guest gave up waiting
  EXPECT_EQ(DrainHost(), sent);
}

TEST_F(VsockTest, EndsOfBothWaysComeBehindAllThatIsQueued) {
  Connect();
  const uint32_t sent = FillHost();
  VsockHeader header = Header(VsockOp::kShutdown);
  header.flags = kVsockShutdownSend;
  ASSERT_TRUE(Send(header));
  WriteStream("answer");
  ASSERT_EQ(shutdown(Stream(), SHUT_WR), 0);
  RunLoop();
  EXPECT_EQ(Take()->payload, "answer");
  RunLoop();
  const auto end = Take();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->header.op, VsockOp::kShutdown);
  EXPECT_EQ(end->header.flags, kVsockShutdownSend) << "the host still reads";
  EXPECT_EQ(DrainHost(), sent);
}

TEST_F(VsockTest, GuestThatIgnoresItsCreditIsReset) {
  Connect();
  const std::string block(32768, 'b');
  VsockOp last = VsockOp::kInvalid;
  for (int i = 0; i < 256 && last != VsockOp::kReset; ++i) {
    ASSERT_TRUE(Send(Header(VsockOp::kData, 32768), block));
    for (std::optional<Packet> packet; (packet = Take());) {
      last = packet->header.op;
      OfferBuffers(1);
    }
  }
  EXPECT_EQ(last, VsockOp::kReset);
}

TEST_F(VsockTest, HostNeverSendsMoreThanTheGuestsCredit) {
  OfferBuffers(16);
  VsockHeader header = Header(VsockOp::kRequest);
  header.buffer_bytes = 10;
  ASSERT_TRUE(Send(header));
  ASSERT_EQ(TakeOp(), VsockOp::kResponse);
  WriteStream("0123456789abcdef");
  RunLoop();
  EXPECT_EQ(Take()->payload, "0123456789");
  EXPECT_EQ(TakeOp(), VsockOp::kCreditRequest);
  EXPECT_FALSE(Take());
  header = Header(VsockOp::kCreditUpdate);
  header.buffer_bytes = 10;
  header.forwarded_bytes = 10;
  ASSERT_TRUE(Send(header));
  RunLoop();
  EXPECT_EQ(Take()->payload, "abcdef");
}

TEST_F(VsockTest, WithoutBuffersPacketsWaitForThem) {
  ASSERT_TRUE(Send(Header(VsockOp::kRequest)));
  WriteStream("early");
  RunLoop();
  EXPECT_FALSE(Take());
  OfferBuffers(4);
  EXPECT_EQ(TakeOp(), VsockOp::kResponse);
  RunLoop();
  EXPECT_EQ(Take()->payload, "early");
}

TEST_F(VsockTest, ConnectionsAreBounded) {
  VsockHeader header = Header(VsockOp::kRequest);
  for (uint32_t i = 0; i < 1100; ++i) {
    header.source_port = i;
    ASSERT_TRUE(Send(header));
  }
  EXPECT_EQ(streams_.size(), 1023U);
}

TEST_F(VsockTest, PacketsOfTheGuestAreGivenBackAtOnceAndToldOfTogether) {
  Connect();
  const int before = host_.signals;
  for (int i = 0; i < 7; ++i) SendData("x");  // Send sees that each has come back
  EXPECT_EQ(host_.signals, before);
  SendData("x");
  EXPECT_EQ(host_.signals, before + 1);
}

TEST_F(VsockTest, APacketToTheGuestTellsOfThoseGivenBack) {
  Connect();
  SendData("x");
  const int before = host_.signals;
  WriteStream("y");
  RunLoop();
  EXPECT_EQ(host_.signals, before + 1);
  for (int i = 0; i < 7; ++i) SendData("x");
  EXPECT_EQ(host_.signals, before + 1) << "the count has begun anew";
}

TEST_F(VsockTest, TheLastPacketGivenBackIsToldOfInTheEnd) {
  Connect();
  const int before = host_.signals;
  SendData("x");
  for (int i = 0; i < 1000 && host_.signals == before; ++i) {
    ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(50)));
  }
  EXPECT_EQ(host_.signals, before + 1);
}

TEST_F(VsockTest, ResetWithPacketsNotToldOfIsSilent) {
  Connect();
  SendData("x");
  const int before = host_.signals;
  device_->Reset();
  ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(200)));
  EXPECT_EQ(host_.signals, before);
}

TEST_F(VsockTest, ReconnectingForEverWithoutBuffersIsBounded) {
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(Send(Header(VsockOp::kRequest)));
    ASSERT_TRUE(Send(Header(VsockOp::kReset)));
  }
  OfferBuffers(16);
  EXPECT_FALSE(Take());
}

TEST_F(VsockTest, BufferTooSmallForAPacketIsTheDriversFault) {
  ASSERT_TRUE(Send(Header(VsockOp::kRequest)));
  rx_.Add({}, {44});
  EXPECT_FALSE(device_->Notify(0));
}

TEST_F(VsockTest, BrokenRxQueueFoundFromASocketEventFailsTheDevice) {
  Connect();
  for (int i = 0; i < 15; ++i) rx_.SetDescriptor(static_cast<uint16_t>(2 + 2 * i), ~0ull, 1, 2);
  WriteStream("x");
  RunLoop();
  EXPECT_EQ(host_.failures.size(), 1U);
  EXPECT_TRUE(device_->Notify(0));
  EXPECT_TRUE(device_->Notify(1));
}

TEST_F(VsockTest, ResetClosesEveryConnection) {
  Connect();
  device_->Reset();
  EXPECT_EQ(ReadStream(), "");
  EXPECT_TRUE(device_->Notify(1));
}

TEST(MakeVsock, ReservedCidsAreRefused) {
  for (const uint64_t cid : {0ull, 1ull, 2ull, 0xffffffffull, 1ull << 32}) {
    EXPECT_FALSE(MakeVsock(cid, {})) << cid;
  }
}

}  // namespace
}  // namespace vmm::virtio
