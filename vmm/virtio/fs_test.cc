#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

#include "runtime/base/socket.h"
#include "tests/support/fake_queue.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/vhost_user.h"

namespace vmm::virtio {
namespace {

using testing_support::FakeHost;
using testing_support::FakeQueue;

constexpr uint64_t kGoodFeatures = kFeatureVersion1 | kVhostUserProtocolFeatures | 1ull << 34;

// Answers as a back end does, until told to misbehave or until its socket ends.
class FakeBackEnd {
 public:
  struct Plan {
    uint64_t features = kGoodFeatures;
    uint32_t nack = 0;        // this request is refused
    uint32_t silent_end = 0;  // at this request it hangs up
    uint32_t wrong_size = 0;  // this request is answered with 4 bytes
    uint32_t wrong_name = 0;  // this request is answered under another number
  };
  FakeBackEnd(base::UniqueFd socket, Plan plan)
      : socket_(std::move(socket)), plan_(plan), thread_([this] { Run(); }) {}
  ~FakeBackEnd() { Finish(); }
  // The lists below may be read after it.
  void Finish() {
    shutdown(socket_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  int socket() const { return socket_.get(); }

  std::vector<uint32_t> requests;
  std::vector<uint64_t> regions;  // guest addresses of SET_MEM_TABLE
  size_t descriptors = 0;

 private:
  void Run() {
    while (true) {
      std::byte buffer[512];
      uint32_t header[3];
      // Header and payload come in one sendmsg each; read them apart.
      auto got = base::ReceiveMessage(socket_, std::as_writable_bytes(std::span(header)), 8);
      if (!got || got->size != sizeof(header)) return;
      descriptors += got->fds.size();
      if (header[2] > sizeof(buffer)) return;
      if (header[2] != 0 && recv(socket_.get(), buffer, header[2], MSG_WAITALL) < 0) return;
      requests.push_back(header[0]);
      if (header[0] == plan_.silent_end) {
        shutdown(socket_.get(), SHUT_RDWR);
        return;
      }
      Answer(header[0], (header[1] & 8) != 0, buffer);
    }
  }
  void Answer(uint32_t request, bool wanted, const std::byte* payload) {
    uint64_t value = request == plan_.nack ? 1 : 0;
    switch (static_cast<VhostUserRequest>(request)) {
      case VhostUserRequest::kGetFeatures:
        value = plan_.features;
        break;
      case VhostUserRequest::kGetProtocolFeatures:
        value = kVhostUserReplyAck | 1;
        break;
      case VhostUserRequest::kGetVringBase:
        std::memcpy(&value, payload, 4);
        break;
      case VhostUserRequest::kSetMemTable:
        for (size_t i = 0; i < static_cast<size_t>(payload[0]); ++i) {
          uint64_t address;
          std::memcpy(&address, payload + 8 + 32 * i, 8);
          regions.push_back(address);
        }
        [[fallthrough]];
      default:
        if (!wanted) return;
    }
    const uint32_t size = request == plan_.wrong_size ? 4 : 8;
    const uint32_t header[3] = {request == plan_.wrong_name ? request + 1 : request, 1 | 4, size};
    std::byte message[20];
    std::memcpy(message, header, 12);
    std::memcpy(message + 12, &value, 8);
    (void)send(socket_.get(), message, 12 + size, MSG_NOSIGNAL);
  }

  base::UniqueFd socket_;
  const Plan plan_;
  std::thread thread_;
};

class FsTest : public testing::Test {
 protected:
  base::Result<std::unique_ptr<VirtioDevice>> Make(FakeBackEnd::Plan plan) {
    device_.reset();
    back_end_.reset();
    auto pair = base::SocketPair(SOCK_STREAM);
    CHECK(pair.has_value());
    back_end_ = std::make_unique<FakeBackEnd>(std::move(pair->second), plan);
    return MakeFs(std::move(pair->first), "pinion",
                  [this](base::Error error) { deaths_.push_back(error.Message()); });
  }
  base::Result<void> Activate() {
    const QueueSetup setups[] = {hiprio_.setup(kick_), requests_.setup(kick_)};
    return device_->Activate(host_, {.features = kFeatureVersion1, .queues = setups});
  }
  void Start(FakeBackEnd::Plan plan) {
    auto made = Make(plan);
    ASSERT_TRUE(made);
    device_ = std::move(*made);
    host_.call = call_;
  }
  static uint32_t Number(VhostUserRequest request) { return static_cast<uint32_t>(request); }

  std::unique_ptr<GuestMemory> memory_ = std::move(*GuestMemory::Create(1 << 20));
  std::unique_ptr<base::EventLoop> loop_ = std::move(*base::EventLoop::Create());
  FakeHost host_{*memory_, *loop_};
  FakeQueue hiprio_{*memory_, 0, 16};
  FakeQueue requests_{*memory_, FakeQueue::kSpan, 1024};
  base::UniqueFd kick_{eventfd(0, EFD_CLOEXEC)};
  base::UniqueFd call_{eventfd(0, EFD_CLOEXEC)};
  std::vector<std::string> deaths_;
  std::unique_ptr<FakeBackEnd> back_end_;
  std::unique_ptr<VirtioDevice> device_;
};

TEST_F(FsTest, OffersTheTagAndOnlyFeaturesThatMayPass) {
  Start({});
  EXPECT_STREQ(reinterpret_cast<const char*>(device_->config().data()), "pinion");
  EXPECT_EQ(static_cast<int>(device_->config()[36]), 1);
  EXPECT_EQ(device_->features(), kFeatureVersion1);
  EXPECT_TRUE(device_->has_vhost_back_end());
}

TEST_F(FsTest, StartsAndStopsBothRings) {
  Start({});
  ASSERT_TRUE(Activate());
  device_->Reset();
  device_.reset();
  back_end_->Finish();
  EXPECT_EQ(back_end_->requests, (std::vector<uint32_t>{3,  1,  15, 16, 2, 5,  8,  10, 9,  13,
                                                        12, 18, 8,  10, 9, 13, 12, 18, 11, 11}));
  EXPECT_EQ(back_end_->regions, std::vector<uint64_t>{0});
  EXPECT_EQ(back_end_->descriptors, 5U);
  EXPECT_TRUE(deaths_.empty());
}

TEST_F(FsTest, RingOutsideRamNeverReachesTheBackEnd) {
  Start({});
  QueueSetup setups[] = {hiprio_.setup(kick_), requests_.setup(kick_)};
  setups[1].config.device.value = 1 << 20;
  EXPECT_FALSE(device_->Activate(host_, {.features = kFeatureVersion1, .queues = setups}));
  device_->Reset();
  EXPECT_TRUE(deaths_.empty());
  EXPECT_TRUE(Activate());  // the driver may try again
}

TEST_F(FsTest, DeathOfTheBackEndIsReportedOnce) {
  Start({});
  ASSERT_TRUE(Activate());
  shutdown(back_end_->socket(), SHUT_RDWR);
  ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(1000)));
  EXPECT_EQ(deaths_.size(), 1U);
  EXPECT_EQ(host_.failures.size(), 1U);
  device_->Reset();
  EXPECT_FALSE(Activate());
  EXPECT_EQ(deaths_.size(), 1U);
}

TEST_F(FsTest, BackEndThatSpeaksUnaskedIsDead) {
  Start({});
  ASSERT_TRUE(Activate());
  ASSERT_EQ(send(back_end_->socket(), "x", 1, MSG_NOSIGNAL), 1);
  ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(1000)));
  EXPECT_EQ(deaths_.size(), 1U);
}

TEST_F(FsTest, RefusedRequestFailsTheActivation) {
  for (const uint32_t request :
       {Number(VhostUserRequest::kSetMemTable), Number(VhostUserRequest::kSetVringEnable)}) {
    deaths_.clear();
    Start({.nack = request});
    EXPECT_FALSE(Activate()) << request;
    device_->Reset();
    EXPECT_EQ(deaths_.size(), 1U);
  }
}

TEST_F(FsTest, BackEndThatHangsUpInTheMiddleIsAnError) {
  Start({.silent_end = Number(VhostUserRequest::kSetVringAddr)});
  EXPECT_FALSE(Activate());
  EXPECT_EQ(deaths_.size(), 1U);
  EXPECT_FALSE(Make({.silent_end = Number(VhostUserRequest::kGetFeatures)}));
}

TEST_F(FsTest, AnswerOfTheWrongSizeOrNameIsAnError) {
  EXPECT_FALSE(Make({.wrong_size = Number(VhostUserRequest::kGetFeatures)}));
  EXPECT_FALSE(Make({.wrong_name = Number(VhostUserRequest::kGetFeatures)}));
}

TEST_F(FsTest, BackEndWithoutVersion1IsRefused) { EXPECT_FALSE(Make({.features = 1 << 30})); }

TEST_F(FsTest, BackEndWithoutProtocolFeaturesNeedsNoEnable) {
  Start({.features = kFeatureVersion1});
  EXPECT_TRUE(Activate());
  device_->Reset();
  EXPECT_TRUE(deaths_.empty());
}

TEST(MakeFs, TagsThatDoNotFitAreRefused) {
  for (const std::string& tag : {std::string(), std::string(37, 't')}) {
    auto pair = base::SocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    EXPECT_FALSE(MakeFs(std::move(pair->first), tag, {}));
  }
}

}  // namespace
}  // namespace vmm::virtio
