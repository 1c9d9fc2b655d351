#include "runtime/shim/publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent-proto/proto/containerd/events.pb.h"
#include "agent-proto/ttrpc/server.h"
#include "runtime/base/socket.h"

namespace shim {
namespace {

using ::testing::ElementsAre;

class PublisherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    char directory[] = "/tmp/publisher_test.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    table_.Register(
        "containerd.services.events.ttrpc.v1.Events", "Forward",
        [this](const ttrpc::CallContext& context, std::string_view payload,
               const ttrpc::Reply& reply) {
          containerd::events::ForwardRequest request;
          ASSERT_TRUE(request.ParseFromArray(payload.data(), static_cast<int>(payload.size())));
          if (refuse_ > 0) {
            --refuse_;
            reply(base::MakeError(base::Code::kUnavailable, "not now"));
            return;
          }
          namespaces_.push_back(context.metadata.at("containerd-namespace-ttrpc"));
          requests_.push_back(request);
          reply(std::string());
        });
  }
  void TearDown() override {
    StopContainerd();
    rmdir(directory_.c_str());
  }
  std::string Path() const { return directory_ + "/s"; }
  void StartContainerd() {
    server_ = std::make_unique<ttrpc::Server>(*loop_, table_);
    auto listener = base::ListenUnix(Path(), SOCK_STREAM);
    ASSERT_TRUE(listener);
    ASSERT_TRUE(server_->Listen(std::move(*listener)));
  }
  void StopContainerd() {
    server_.reset();
    unlink(Path().c_str());
  }
  std::unique_ptr<Publisher> MakePublisher() {
    return std::make_unique<Publisher>(
        *loop_, Publisher::Options{"unix://" + Path(), "ns", std::chrono::milliseconds(1)});
  }
  std::vector<std::string> Topics() const {
    std::vector<std::string> topics;
    for (const auto& request : requests_) topics.push_back(request.envelope().topic());
    return topics;
  }
  bool Flush(Publisher& publisher, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    bool done = false;
    publisher.Flush(limit, [&] { done = true; });
    while (!done) EXPECT_TRUE(loop_->RunOnce(std::chrono::milliseconds(10)));
    return publisher.queued() == 0;
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::string directory_;
  ttrpc::ServiceTable table_;
  std::unique_ptr<ttrpc::Server> server_;
  std::vector<containerd::events::ForwardRequest> requests_;
  std::vector<std::string> namespaces_;
  int refuse_ = 0;
};

TEST_F(PublisherTest, SendsInOrderWithItsNamespace) {
  StartContainerd();
  const auto publisher = MakePublisher();
  for (const char* topic : {"a", "b", "c"}) publisher->Publish(topic, "type", "body");
  EXPECT_TRUE(Flush(*publisher));
  EXPECT_THAT(Topics(), ElementsAre("a", "b", "c"));
  const containerd::events::Envelope& envelope = requests_[0].envelope();
  EXPECT_EQ(envelope.namespace_(), "ns");
  EXPECT_EQ(envelope.event().type_url(), "type");
  EXPECT_EQ(envelope.event().value(), "body");
  EXPECT_GT(envelope.timestamp().seconds(), 1'600'000'000);
  EXPECT_EQ(namespaces_[0], "ns");
}

TEST_F(PublisherTest, ReconnectsAfterARestart) {
  StartContainerd();
  const auto publisher = MakePublisher();
  publisher->Publish("a", "", "");
  EXPECT_TRUE(Flush(*publisher));
  StopContainerd();
  StartContainerd();
  publisher->Publish("b", "", "");
  EXPECT_TRUE(Flush(*publisher));
  EXPECT_THAT(Topics(), ElementsAre("a", "b"));
}

TEST_F(PublisherTest, TriesAgainAndKeepsTheOrder) {
  StartContainerd();
  refuse_ = 3;
  const auto publisher = MakePublisher();
  publisher->Publish("a", "", "");
  publisher->Publish("b", "", "");
  EXPECT_TRUE(Flush(*publisher));
  EXPECT_THAT(Topics(), ElementsAre("a", "b"));
}

TEST_F(PublisherTest, DropsAfterTheLastAttemptAndGoesOn) {
  StartContainerd();
  refuse_ = Publisher::kMaxAttempts;
  const auto publisher = MakePublisher();
  publisher->Publish("a", "", "");
  publisher->Publish("b", "", "");
  EXPECT_TRUE(Flush(*publisher));
  EXPECT_THAT(Topics(), ElementsAre("b"));
}

// However long that takes: many more attempts than an event has that containerd refuses.
TEST_F(PublisherTest, EventsWaitForAContainerdThatIsAway) {
  StartContainerd();
  const auto publisher = MakePublisher();
  publisher->Publish("a", "", "");
  EXPECT_TRUE(Flush(*publisher));
  StopContainerd();  // no socket
  publisher->Publish("b", "", "");
  EXPECT_FALSE(Flush(*publisher, std::chrono::milliseconds(100)));
  {
    const auto refusing = base::ListenUnix(Path(), SOCK_STREAM);
    ASSERT_TRUE(refusing);
  }  // a socket that nobody listens on
  publisher->Publish("c", "", "");
  EXPECT_FALSE(Flush(*publisher, std::chrono::milliseconds(100)));
  EXPECT_EQ(publisher->queued(), 2u);
  StopContainerd();
  StartContainerd();
  EXPECT_TRUE(Flush(*publisher));
  EXPECT_THAT(Topics(), ElementsAre("a", "b", "c"));
}

TEST_F(PublisherTest, TimeWithoutContainerdIsNoAttempt) {
  StartContainerd();
  refuse_ = Publisher::kMaxAttempts - 1;
  const auto publisher = MakePublisher();
  publisher->Publish("a", "", "");
  while (refuse_ > 0) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(10)));
  StopContainerd();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(2)));
  StartContainerd();
  EXPECT_TRUE(Flush(*publisher));
  EXPECT_THAT(Topics(), ElementsAre("a"));
}

TEST_F(PublisherTest, AFlushEndsAtItsLimit) {
  Publisher publisher(*loop_, {Path(), "ns", std::chrono::hours(1)});
  publisher.Publish("a", "", "");
  EXPECT_FALSE(Flush(publisher, std::chrono::milliseconds(20)));
}

TEST_F(PublisherTest, AFlushFindsAContainerdThatHasJustComeBack) {
  Publisher publisher(*loop_, {Path(), "ns", std::chrono::hours(1)});
  publisher.Publish("a", "", "");
  EXPECT_FALSE(Flush(publisher, std::chrono::milliseconds(20)));
  StartContainerd();
  EXPECT_TRUE(Flush(publisher));
  EXPECT_THAT(Topics(), ElementsAre("a"));
}

TEST_F(PublisherTest, TheQueueIsBounded) {
  Publisher publisher(*loop_, {Path(), "ns", std::chrono::hours(1)});
  for (size_t i = 0; i < Publisher::kMaxQueued + 10; ++i) publisher.Publish("a", "", "");
  EXPECT_EQ(publisher.queued(), Publisher::kMaxQueued);
}

TEST_F(PublisherTest, WithoutAnAddressEventsGoNowhere) {
  Publisher publisher(*loop_, {"", "ns"});
  publisher.Publish("a", "", "");
  EXPECT_TRUE(Flush(publisher));
}

}  // namespace
}  // namespace shim
