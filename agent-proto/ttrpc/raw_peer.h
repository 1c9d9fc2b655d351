// A server on one end of a socket pair, raw frames on the other, for the room's own unit tests.
// Thread rule: bound to the event loop, which the test turns.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent-proto/ttrpc/frame.h"
#include "agent-proto/ttrpc/server.h"
#include "agent-proto/ttrpc/status.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/socket.h"

namespace ttrpc {

class RawPeerTest : public ::testing::Test {
 protected:
  // `table_` may be filled before and after.
  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    server_ = std::make_unique<Server>(*loop_, table_);
    auto pair = base::SocketPair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    client_ = std::move(pair->first);
    ASSERT_TRUE(server_->Serve(std::move(pair->second), [this] { ++closed_; }));
  }

  void Turn() { ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0))); }
  // Up to the end, or to where the server has closed.
  void Write(const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t count = send(client_.get(), bytes.data() + sent, bytes.size() - sent,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count < 0 && errno == EPIPE) return;
      if (count > 0) sent += static_cast<size_t>(count);
      Turn();
    }
  }
  // The next frame from the server; the loop turns until it is there, or the server closed.
  std::optional<Frame> Receive() {
    while (true) {
      if (auto frame = reader_.Next()) return frame;
      char buffer[65536];
      const ssize_t count = recv(client_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (count == 0) return std::nullopt;
      if (count > 0) reader_.Push(std::string_view(buffer, static_cast<size_t>(count)));
      if (count < 0 && !loop_->RunOnce(std::chrono::milliseconds(10))) return std::nullopt;
    }
  }
  base::Code ReceiveError(uint32_t id) {
    const auto frame = Receive();
    if (!frame) return base::Code::kOk;
    EXPECT_EQ(frame->stream_id, id);
    EXPECT_EQ(frame->type, static_cast<uint8_t>(MessageType::kResponse));
    const auto result = DecodeResponse(frame->data);
    return result ? base::Code::kOk : result.error().code();
  }

  std::unique_ptr<base::EventLoop> loop_;
  ServiceTable table_;
  std::vector<CallContext> contexts_;
  std::vector<Reply> hanging_;
  std::unique_ptr<Server> server_;
  base::UniqueFd client_;
  FrameReader reader_;
  int closed_ = 0;
};

}  // namespace ttrpc
