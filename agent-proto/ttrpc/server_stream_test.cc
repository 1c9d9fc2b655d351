#include "agent-proto/ttrpc/server_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "agent-proto/proto/ttrpc.pb.h"
#include "agent-proto/ttrpc/raw_peer.h"
#include "agent-proto/ttrpc/server.h"
#include "agent-proto/ttrpc/session.h"
#include "agent-proto/ttrpc/status.h"

namespace ttrpc {
namespace {

using base::Code;
using std::string_literals::operator""s;
using testing::ElementsAre;

constexpr uint8_t kEnd = kFlagRemoteClosed | kFlagNoData;

// A server whose "Stream" keeps what it is told.
class ServerStreamTest : public RawPeerTest {
 protected:
  void SetUp() override {
    table_.RegisterStream("s", "Stream", [this](const CallContext& context, ServerStream stream) {
      contexts_.push_back(context);
      streams_.push_back(stream);
      StreamEvents events;
      events.on_message = [this](std::string_view message) {
        told_.push_back("message " + std::string(message));
        if (message == "end") streams_.back().End();
      };
      events.on_close = [this] { told_.push_back("close"); };
      events.on_ready = [this] { told_.push_back("ready"); };
      events.on_gone = [this] { told_.push_back("gone"); };
      return events;
    });
    table_.Register("s", "Hang", [this](const CallContext&, std::string_view, Reply reply) {
      hanging_.push_back(std::move(reply));
    });
    RawPeerTest::SetUp();
  }

  // And lets the server hear it.
  void Say(const std::string& frame) {
    Write(frame);
    for (int i = 0; i < 3; ++i) Turn();
  }
  void Request(uint32_t id, uint8_t flags, const std::string& method = "Stream",
               const std::string& payload = "", int64_t timeout_ns = 0) {
    wire::Request request;
    request.set_service("s");
    request.set_method(method);
    request.set_payload(payload);
    request.set_timeout_nano(timeout_ns);
    Say(EncodeFrame(id, MessageType::kRequest, flags, request.SerializeAsString()));
  }
  void Open(uint32_t id) { Request(id, kFlagRemoteOpen); }
  void Data(uint32_t id, const std::string& data, uint8_t flags = 0) {
    Say(EncodeFrame(id, MessageType::kData, flags, data));
  }
  void ExpectData(uint32_t id, const std::string& data, uint8_t flags = 0) {
    const auto frame = Receive();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->stream_id, id);
    EXPECT_EQ(frame->type, static_cast<uint8_t>(MessageType::kData));
    EXPECT_EQ(frame->flags, flags);
    EXPECT_EQ(frame->data, data);
  }

  std::vector<ServerStream> streams_;
  std::vector<std::string> told_;
};

TEST_F(ServerStreamTest, MessagesPassBothWaysUntilBothHaveClosed) {
  Open(1);
  ASSERT_EQ(streams_.size(), 1u);
  Data(1, "a");
  Data(1, "");  // an empty message is one
  streams_[0].Send("b");
  ExpectData(1, "b");
  Data(1, "", kEnd);
  EXPECT_THAT(told_, ElementsAre("message a", "message ", "close"));
  EXPECT_TRUE(streams_[0].open());
  streams_[0].Send("c");
  streams_[0].End();
  EXPECT_FALSE(streams_[0].open());
  streams_[0].Send("dropped");
  ExpectData(1, "c");
  ExpectData(1, "", kEnd);
}

// Without this, containerd 2.1's connections, one for each stream, stay for ever.
TEST_F(ServerStreamTest, AConnectionOfStreamsEndsWithTheLastOfThem) {
  Open(1);
  Open(3);
  streams_[0].End();
  streams_[1].End();
  Data(1, "", kEnd);
  EXPECT_EQ(closed_, 0);
  Data(3, "", kEnd);
  ExpectData(1, "", kEnd);
  ExpectData(3, "", kEnd);
  EXPECT_FALSE(Receive());
  EXPECT_EQ(closed_, 1);
  EXPECT_THAT(told_, ElementsAre("close", "close"));
}

TEST_F(ServerStreamTest, AConnectionThatMadeAUnaryCallStays) {
  Request(1, 0, "Hang");
  Open(3);
  streams_[0].End();
  Data(3, "", kEnd);
  ExpectData(3, "", kEnd);
  hanging_.at(0)("late"s);
  EXPECT_EQ(ReceiveError(1), Code::kOk);
  EXPECT_EQ(closed_, 0);
}

TEST_F(ServerStreamTest, TheFirstMessageMayComeWithTheRequest) {
  Request(1, kFlagRemoteOpen, "Stream", "first");
  Request(3, kFlagRemoteClosed);
  EXPECT_THAT(told_, ElementsAre("message first", "message ", "close"));
}

TEST_F(ServerStreamTest, TheLastMessageMayCarryTheClose) {
  Open(1);
  Data(1, "last", kFlagRemoteClosed);
  EXPECT_THAT(told_, ElementsAre("message last", "close"));
}

TEST_F(ServerStreamTest, DataBehindTheCloseBreaksTheStream) {
  Open(1);
  Open(3);
  Data(1, "", kEnd);
  Data(1, "more");
  EXPECT_EQ(ReceiveError(1), Code::kInvalidArgument);
  EXPECT_THAT(told_, ElementsAre("close", "gone"));
  EXPECT_FALSE(streams_[0].open());
  EXPECT_TRUE(streams_[1].open());
}

TEST_F(ServerStreamTest, BytesInAFrameWithoutDataBreakTheStream) {
  Open(1);
  Data(1, "x", kFlagNoData);
  EXPECT_EQ(ReceiveError(1), Code::kInvalidArgument);
  EXPECT_THAT(told_, ElementsAre("gone"));
}

TEST_F(ServerStreamTest, DataForAnUnknownStreamIsAnsweredAndForAnEndedOneDropped) {
  Open(1);
  Open(3);
  Data(5, "x");
  EXPECT_EQ(ReceiveError(5), Code::kInvalidArgument);
  streams_[0].End(base::MakeError(Code::kNotFound, "over"));
  EXPECT_EQ(ReceiveError(1), Code::kNotFound);
  Data(1, "was under way");
  Data(1, "", kEnd);
  streams_[1].Send("next");
  ExpectData(3, "next");
  EXPECT_THAT(told_, ElementsAre());
}

TEST_F(ServerStreamTest, WhatComesForAStreamThatWeEndedIsNotDelivered) {
  Open(1);
  Data(1, "end");
  Data(1, "late");
  ExpectData(1, "", kEnd);
  EXPECT_THAT(told_, ElementsAre("message end"));
}

TEST_F(ServerStreamTest, DataOnAUnaryCallIsItsOneAnswer) {
  Request(1, 0, "Hang");
  Data(1, "x");
  EXPECT_EQ(ReceiveError(1), Code::kInvalidArgument);
  hanging_.at(0)("late"s);
  Open(3);
  streams_[0].Send("next");
  ExpectData(3, "next");
}

TEST_F(ServerStreamTest, AUnaryRequestForAStreamIsRefused) {
  Request(1, 0);
  EXPECT_EQ(ReceiveError(1), Code::kInvalidArgument);
  EXPECT_TRUE(streams_.empty());
}

TEST_F(ServerStreamTest, AStreamsIdIsNotUsedAgain) {
  Open(1);
  Open(1);
  EXPECT_EQ(ReceiveError(1), Code::kInvalidArgument);
  EXPECT_EQ(streams_.size(), 1u);
}

TEST_F(ServerStreamTest, AnOverlongMessageBreaksTheStream) {
  Open(1);
  Open(3);
  Say("\x00\x40\x00\x01\x00\x00\x00\x01\x03\x00"s + std::string(kMaxDataBytes + 1, 'z'));
  EXPECT_EQ(ReceiveError(1), Code::kResourceExhausted);
  EXPECT_THAT(told_, ElementsAre("gone"));
  EXPECT_TRUE(streams_[1].open());
}

TEST_F(ServerStreamTest, StreamsGoWithTheConnection) {
  Open(1);
  Open(3);
  streams_[1].End();  // its client's close is still to come
  client_.Reset();
  while (closed_ == 0) Turn();
  EXPECT_THAT(told_, ElementsAre("gone", "gone"));
  EXPECT_TRUE(contexts_.at(0).connection.expired());
  streams_[0].Send("nowhere");
  streams_[0].End();
  EXPECT_FALSE(streams_[0].ready());
}

TEST_F(ServerStreamTest, AStreamEndsAtItsDeadline) {
  Request(1, kFlagRemoteOpen, "Stream", "", 1'000'000);
  EXPECT_EQ(ReceiveError(1), Code::kDeadlineExceeded);
  EXPECT_THAT(told_, ElementsAre("gone"));
}

TEST_F(ServerStreamTest, RefusesStreamsBeyondTheLimit) {
  for (uint32_t i = 0; i <= Session::kMaxStreams; ++i) Open(2 * i + 1);
  EXPECT_EQ(ReceiveError(2 * Session::kMaxStreams + 1), Code::kResourceExhausted);
  EXPECT_EQ(streams_.size(), Session::kMaxStreams);
}

TEST_F(ServerStreamTest, ASlowClientIsNotReadyUntilItHasRead) {
  Open(1);
  ASSERT_TRUE(streams_[0].ready());
  const std::string megabyte(1 << 20, 'x');
  streams_[0].Send(megabyte);
  EXPECT_FALSE(streams_[0].ready());
  for (int i = 0; i < 5; ++i) Turn();
  EXPECT_THAT(told_, ElementsAre());
  ExpectData(1, megabyte);
  for (int i = 0; i < 5; ++i) Turn();
  EXPECT_THAT(told_, ElementsAre("ready"));
  EXPECT_TRUE(streams_[0].ready());
}

TEST_F(ServerStreamTest, AServiceThatSendsOnIsCutOff) {
  Open(1);
  for (int i = 0; i < 64; ++i) streams_[0].Send(std::string(1 << 20, 'x'));
  while (closed_ == 0) Turn();
  EXPECT_THAT(told_, ElementsAre("gone"));
}

TEST_F(ServerStreamTest, NothingIsToldOnceTheServerHasGone) {
  Open(1);
  server_.reset();
  EXPECT_FALSE(Receive());
  EXPECT_THAT(told_, ElementsAre());
  EXPECT_FALSE(streams_[0].open());
}

TEST_F(ServerStreamTest, AStreamsEventMayDestroyTheServer) {
  table_.RegisterStream("s", "Last", [this](const CallContext&, ServerStream stream) {
    streams_.push_back(stream);
    StreamEvents events;
    events.on_close = [this] { server_.reset(); };
    events.on_gone = [this] { told_.push_back("gone"); };
    return events;
  });
  Request(1, kFlagRemoteClosed, "Last");
  EXPECT_FALSE(Receive());
  EXPECT_THAT(told_, ElementsAre());
}

}  // namespace
}  // namespace ttrpc
