#include "agent-proto/ttrpc/client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "agent-proto/proto/ttrpc.pb.h"
#include "agent-proto/ttrpc/frame.h"
#include "agent-proto/ttrpc/server.h"
#include "runtime/base/socket.h"

namespace ttrpc {
namespace {

using base::Code;
using base::Result;

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    auto pair = base::SocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    peer_ = std::move(pair->second);
    auto client = Client::Create(*loop_, std::move(pair->first), [this] { ++closed_; });
    ASSERT_TRUE(client);
    client_ = std::move(*client);
  }
  void Call(const std::string& payload = "", const CallOptions& options = {}) {
    client_->CallRaw("s", "M", payload, options,
                     [this](Result<std::string> result) { results_.push_back(std::move(result)); });
  }
  void RunUntilResults(size_t count) {
    while (results_.size() < count) {
      ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(10)));
    }
  }
  Frame ReadRequest() {
    while (true) {
      if (auto frame = reader_.Next()) return *frame;
      char buffer[65536];
      const ssize_t count = recv(peer_.get(), buffer, sizeof buffer, 0);
      if (count <= 0) return {};
      reader_.Push(std::string_view(buffer, static_cast<size_t>(count)));
    }
  }
  void Write(const std::string& bytes) {
    ASSERT_EQ(send(peer_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }

  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<Client> client_;
  base::UniqueFd peer_;
  FrameReader reader_;
  std::vector<Result<std::string>> results_;
  int closed_ = 0;
};

TEST_F(ClientTest, MatchesAnswersByStreamId) {
  Call("a");
  Call("b");
  EXPECT_EQ(ReadRequest().stream_id, 1u);
  EXPECT_EQ(ReadRequest().stream_id, 3u);
  Write(EncodeFrame(3, MessageType::kResponse, 0, "\x12\x01y"));
  Write(EncodeFrame(1, MessageType::kResponse, 0, "\x12\x01x"));
  RunUntilResults(2);
  EXPECT_EQ(*results_[0], "y");
  EXPECT_EQ(*results_[1], "x");
}

TEST_F(ClientTest, SendsTimeoutAndMetadata) {
  Call("p", {.timeout = std::chrono::seconds(5), .metadata = {{"k", "v"}}});
  wire::Request request;
  ASSERT_TRUE(request.ParseFromString(ReadRequest().data));
  EXPECT_EQ(request.timeout_nano(), 5'000'000'000);
  EXPECT_EQ(request.metadata(0).key(), "k");
  EXPECT_EQ(request.metadata(0).value(), "v");
}

TEST_F(ClientTest, TimesOutAndDropsTheLateAnswer) {
  Call("", {.timeout = std::chrono::milliseconds(1), .metadata = {}});
  RunUntilResults(1);
  EXPECT_EQ(results_[0].error().code(), Code::kDeadlineExceeded);
  Write(EncodeFrame(1, MessageType::kResponse, 0, ""));
  Call();
  Write(EncodeFrame(3, MessageType::kResponse, 0, ""));
  RunUntilResults(2);
  EXPECT_TRUE(results_[1]);
}

TEST_F(ClientTest, PendingCallsFailWhenThePeerGoes) {
  Call();
  Call();
  peer_.Reset();
  RunUntilResults(2);
  EXPECT_EQ(results_[0].error().code(), Code::kUnavailable);
  EXPECT_EQ(results_[1].error().code(), Code::kUnavailable);
  EXPECT_EQ(closed_, 1);
  Call();
  EXPECT_EQ(results_.size(), 2u);  // never from inside the call
  RunUntilResults(3);
  EXPECT_EQ(results_[2].error().code(), Code::kUnavailable);
  EXPECT_EQ(closed_, 1);
}

TEST_F(ClientTest, HostileFramesDoNoHarm) {
  Call();
  Write(EncodeFrame(99, MessageType::kResponse, 0, "x"));
  Write(EncodeFrame(1, MessageType::kRequest, 0, "x"));
  Write(EncodeFrame(1, static_cast<MessageType>(200), 0xff, "x"));
  Write(EncodeFrame(1, MessageType::kResponse, 0, "\xff\xff"));
  Write(EncodeFrame(1, MessageType::kResponse, 0, ""));
  RunUntilResults(1);
  EXPECT_EQ(results_[0].error().code(), Code::kInternal);
  ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
  EXPECT_EQ(results_.size(), 1u);
}

TEST_F(ClientTest, AnOversizeAnswerFailsItsCallOnly) {
  Call();
  Write(std::string("\x00\x40\x00\x01\x00\x00\x00\x01\x02\x00", 10));
  RunUntilResults(1);
  EXPECT_EQ(results_[0].error().code(), Code::kResourceExhausted);
  EXPECT_EQ(closed_, 0);
}

TEST_F(ClientTest, ItsOwnLimitOfAnAnswerHolds) {
  auto pair = base::SocketPair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  peer_ = std::move(pair->second);
  client_ = std::move(*Client::Create(*loop_, std::move(pair->first), {}, 100));
  Call();
  Call();
  Write(EncodeFrame(1, MessageType::kResponse, 0, std::string(101, 'x')));
  Write(EncodeFrame(3, MessageType::kResponse, 0, ""));
  RunUntilResults(2);
  EXPECT_EQ(results_[0].error().Message(), "M: the answer has 101 bytes, at most 100 are taken");
  EXPECT_TRUE(results_[1]);
}

TEST_F(ClientTest, AnOversizeRequestIsNotSent) {
  Call(std::string(kMaxDataBytes, 'x'));
  RunUntilResults(1);
  EXPECT_EQ(results_[0].error().code(), Code::kResourceExhausted);
  Call("after");
  EXPECT_EQ(ReadRequest().stream_id, 1u);
}

TEST_F(ClientTest, AnAnswerMayDestroyTheClient) {
  client_->CallRaw("s", "M", "", {}, [this](const Result<std::string>&) { client_.reset(); });
  Call();
  peer_.Reset();
  while (client_) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(10)));
  EXPECT_TRUE(results_.empty());
  EXPECT_EQ(closed_, 0);
}

TEST_F(ClientTest, TalksToOurServer) {
  ServiceTable table;
  table.Register("s", "M", [](const CallContext&, std::string_view payload, Reply reply) {
    if (payload == "bad") {
      reply(base::MakeError(Code::kFailedPrecondition, "no {}", payload));
    } else {
      reply(std::string(payload) + "!");
    }
  });
  Server server(*loop_, table);
  ASSERT_TRUE(server.Serve(std::move(peer_)));
  Call(std::string(1 << 20, 'x'));
  Call("bad");
  RunUntilResults(2);
  EXPECT_EQ(results_[0]->size(), (1u << 20) + 1);
  EXPECT_EQ(results_[1].error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(results_[1].error().Message(), "M: no bad");
}

}  // namespace
}  // namespace ttrpc
