#include "agent-proto/ttrpc/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent-proto/proto/ttrpc.pb.h"
#include "agent-proto/ttrpc/connection.h"
#include "agent-proto/ttrpc/raw_peer.h"
#include "agent-proto/ttrpc/session.h"
#include "agent-proto/ttrpc/status.h"

namespace ttrpc {
namespace {

using base::Code;
using std::string_literals::operator""s;

class ServerTest : public RawPeerTest {
 protected:
  void SetUp() override {
    table_.Register("s", "Echo", [](const CallContext&, std::string_view payload, Reply reply) {
      reply(std::string(payload));
    });
    table_.Register("s", "Hang", [this](const CallContext& context, std::string_view, Reply reply) {
      contexts_.push_back(context);
      hanging_.push_back(std::move(reply));
    });
    RawPeerTest::SetUp();
  }

  static std::string RequestBytes(const std::string& method, const std::string& payload,
                                  int64_t timeout_ns = 0) {
    wire::Request request;
    request.set_service("s");
    request.set_method(method);
    request.set_payload(payload);
    request.set_timeout_nano(timeout_ns);
    return request.SerializeAsString();
  }
  void Call(uint32_t id, const std::string& data) {
    Write(EncodeFrame(id, MessageType::kRequest, 0, data));
  }
};

// Task.v2/Connect{id:"foo"} on stream 1 as containerd sends it, and its answer {shim_pid: 10}.
TEST_F(ServerTest, AnswersContainerdsBytesWithTheKnownBytes) {
  std::string payload;
  table_.Register("containerd.task.v2.Task", "Connect",
                  [&](const CallContext&, std::string_view bytes, Reply reply) {
                    payload = bytes;
                    reply("\x08\x0a"s);
                  });
  Write("\x00\x00\x00\x29\x00\x00\x00\x01\x01\x00"s +
        "\x0a\x17"s
        "containerd.task.v2.Task"
        "\x12\x07"
        "Connect"
        "\x1a\x05\x0a\x03"
        "foo");
  const auto frame = Receive();
  ASSERT_TRUE(frame);
  EXPECT_EQ(payload,
            "\x0a\x03"
            "foo");
  EXPECT_EQ(EncodeFrame(frame->stream_id, static_cast<MessageType>(frame->type), frame->flags,
                        frame->data),
            "\x00\x00\x00\x04\x00\x00\x00\x01\x02\x00\x12\x02\x08\x0a"s);
}

TEST_F(ServerTest, AnswersInAnyOrder) {
  Call(1, RequestBytes("Hang", ""));
  Call(3, RequestBytes("Echo", "quick"));
  auto frame = Receive();
  EXPECT_EQ(frame->stream_id, 3u);
  EXPECT_EQ(*DecodeResponse(frame->data), "quick");
  hanging_.at(0)("slow"s);
  frame = Receive();
  EXPECT_EQ(frame->stream_id, 1u);
  EXPECT_EQ(*DecodeResponse(frame->data), "slow");
}

TEST_F(ServerTest, RejectsAnEvenStreamId) {
  Call(2, RequestBytes("Echo", ""));
  EXPECT_EQ(ReceiveError(2), Code::kInvalidArgument);
}

TEST_F(ServerTest, RejectsAReusedStreamId) {
  Call(5, RequestBytes("Echo", ""));
  EXPECT_EQ(ReceiveError(5), Code::kOk);
  Call(5, RequestBytes("Echo", ""));
  EXPECT_EQ(ReceiveError(5), Code::kInvalidArgument);
  Call(3, RequestBytes("Echo", ""));
  EXPECT_EQ(ReceiveError(3), Code::kInvalidArgument);
}

TEST_F(ServerTest, RejectsData) {
  Write(EncodeFrame(1, MessageType::kData, 0, "x"));
  EXPECT_EQ(ReceiveError(1), Code::kInvalidArgument);
}

TEST_F(ServerTest, IgnoresUnknownTypes) {
  Write(EncodeFrame(1, static_cast<MessageType>(77), 0, "x"));
  Call(3, RequestBytes("Echo", ""));
  EXPECT_EQ(ReceiveError(3), Code::kOk);
}

TEST_F(ServerTest, AnswersABadRequestAndGoesOn) {
  Call(1, "\xff\xff\xff");
  EXPECT_EQ(ReceiveError(1), Code::kInvalidArgument);
  Call(3, RequestBytes("Nothing", ""));
  EXPECT_EQ(ReceiveError(3), Code::kUnimplemented);
  wire::Request request;
  request.set_service("none");
  Call(5, request.SerializeAsString());
  EXPECT_EQ(ReceiveError(5), Code::kUnimplemented);
}

TEST_F(ServerTest, DiscardsAnOversizeFrameAndGoesOn) {
  Write("\x00\x40\x00\x01\x00\x00\x00\x01\x01\x00"s + std::string(kMaxDataBytes + 1, 'z'));
  EXPECT_EQ(ReceiveError(1), Code::kResourceExhausted);
  Call(3, RequestBytes("Echo", ""));
  EXPECT_EQ(ReceiveError(3), Code::kOk);
}

TEST_F(ServerTest, AnswersOnceWhenTheDeadlinePasses) {
  Call(1, RequestBytes("Hang", "", 1'000'000));
  EXPECT_EQ(ReceiveError(1), Code::kDeadlineExceeded);
  EXPECT_TRUE(contexts_.at(0).connection.expired());
  hanging_.at(0)("late"s);
  Call(3, RequestBytes("Echo", ""));
  EXPECT_EQ(ReceiveError(3), Code::kOk);  // not an answer on stream 1
}

TEST_F(ServerTest, CallsEndWithTheConnection) {
  Call(1, RequestBytes("Hang", ""));
  while (contexts_.empty()) Turn();
  EXPECT_FALSE(contexts_.at(0).connection.expired());
  client_.Reset();
  while (closed_ == 0) Turn();
  EXPECT_TRUE(contexts_.at(0).connection.expired());
  hanging_.at(0)("late"s);  // goes nowhere
  EXPECT_EQ(closed_, 1);
}

// Echoes pile up unread: the server must end the connection, not hold them for ever.
TEST_F(ServerTest, CutsOffAClientThatNeverReads) {
  const std::string request = RequestBytes("Echo", std::string(1 << 20, 'x'));
  for (uint32_t i = 0; i < 64 && closed_ == 0; ++i) {
    const std::string bytes = EncodeFrame(2 * i + 1, MessageType::kRequest, 0, request);
    for (size_t sent = 0; sent < bytes.size() && closed_ == 0;) {
      const ssize_t count = send(client_.get(), bytes.data() + sent, bytes.size() - sent,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count > 0) sent += static_cast<size_t>(count);
      Turn();
    }
  }
  EXPECT_EQ(closed_, 1);
}

TEST_F(ServerTest, FlushesBeforeItIsIdle) {
  Call(1, RequestBytes("Hang", ""));
  while (hanging_.empty()) Turn();
  hanging_.at(0)(std::string(3 << 20, 'x'));  // more than the socket takes
  bool idle = false;
  server_->WhenFlushed([&] { idle = true; });
  for (int i = 0; i < 10; ++i) Turn();
  EXPECT_FALSE(idle);
  EXPECT_EQ(DecodeResponse(Receive()->data)->size(), 3u << 20);
  while (!idle) Turn();
}

TEST_F(ServerTest, AHandlerMayDestroyTheServer) {
  table_.Register("s", "End", [this](const CallContext&, std::string_view, Reply reply) {
    server_.reset();
    reply("gone"s);
  });
  Call(1, RequestBytes("End", ""));
  EXPECT_EQ(ReceiveError(1), Code::kOk);  // the call itself still gets its answer
  EXPECT_FALSE(Receive());
  EXPECT_EQ(closed_, 0);
}

TEST_F(ServerTest, RefusesCallsBeyondTheLimit) {
  const std::string request = RequestBytes("Hang", "");
  for (uint32_t i = 0; i <= Session::kMaxCalls; ++i) Call(2 * i + 1, request);
  EXPECT_EQ(ReceiveError(2 * Session::kMaxCalls + 1), Code::kResourceExhausted);
}

}  // namespace
}  // namespace ttrpc
