#include "agent-proto/grpc/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <vector>

#include "agent-proto/grpc/testing_client.h"
#include "agent-proto/ttrpc/connection.h"
#include "runtime/base/socket.h"

namespace grpc_transport {
namespace {

using base::Code;
using ::testing::HasSubstr;

constexpr std::chrono::milliseconds kTurn(5);

// A server on one end of a socket pair, a real client on the other.
class GrpcServerTest : public ::testing::Test {
 protected:
  using Pending = std::shared_ptr<TestingClient::Call>;

  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    table_.Register("p.s", "Echo",
                    [](const ttrpc::CallContext&, std::string_view payload, ttrpc::Reply reply) {
                      reply(std::string(payload));
                    });
    table_.Register(
        "p.s", "Hang",
        [this](const ttrpc::CallContext& context, std::string_view, ttrpc::Reply reply) {
          contexts_.push_back(context);
          hanging_.push_back(std::move(reply));
        });
    auto server = Server::Create(*loop_, table_);
    ASSERT_TRUE(server);
    server_ = std::move(*server);
    client_ = std::make_unique<TestingClient>(Connect());
  }
  void TearDown() override {
    client_.reset();
    server_.reset();
  }

  base::UniqueFd Connect() {
    auto pair = base::SocketPair(SOCK_STREAM);
    EXPECT_TRUE(pair);
    EXPECT_TRUE(server_->Serve(std::move(pair->first)));
    return std::move(pair->second);
  }
  void Turn() {
    ASSERT_TRUE(loop_->RunOnce(kTurn));
    if (client_) client_->Poll();
  }
  template <class Condition>
  void TurnUntil(Condition condition) {
    while (!condition()) Turn();
  }
  base::Result<std::string> Call(const std::string& method, const std::string& message) {
    const Pending call = client_->Begin(method, message);
    TurnUntil([&] { return call->done; });
    return TestingClient::Outcome(*call);
  }

  std::unique_ptr<base::EventLoop> loop_;
  ttrpc::ServiceTable table_;
  std::vector<ttrpc::CallContext> contexts_;
  std::vector<ttrpc::Reply> hanging_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<TestingClient> client_;
};

TEST_F(GrpcServerTest, AnswersWithTheHandlersBytes) {
  const std::string bytes("\0\xff message", 10);
  EXPECT_EQ(Call("/p.s/Echo", bytes).value_or("?"), bytes);
  EXPECT_EQ(Call("/p.s/Echo", "").value_or("?"), "");
}

TEST_F(GrpcServerTest, AnswersInAnyOrder) {
  const Pending first = client_->Begin("/p.s/Hang", "");
  const Pending second = client_->Begin("/p.s/Hang", "");
  TurnUntil([&] { return hanging_.size() == 2; });
  hanging_[1](std::string("two"));
  TurnUntil([&] { return first->done || second->done; });
  EXPECT_NE(first->done, second->done);
  hanging_[0](std::string("one"));
  TurnUntil([&] { return first->done && second->done; });
}

TEST_F(GrpcServerTest, EveryCodeIsItself) {
  for (int code = 1; code <= static_cast<int>(Code::kUnavailable); ++code) {
    table_.Register("p.s", "Fail",
                    [code](const ttrpc::CallContext&, std::string_view, const ttrpc::Reply& reply) {
                      reply(base::MakeError(static_cast<Code>(code), "because \xff"));
                    });
    const auto answer = Call("/p.s/Fail", "");
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), static_cast<Code>(code));
    EXPECT_THAT(answer.error().Message(), HasSubstr("because \\xff"));
  }
}

TEST_F(GrpcServerTest, UnknownServicesAndMethodsAreUnimplemented) {
  for (const auto& [path, named] :
       std::vector<std::pair<std::string, std::string>>{{"/p.other/Echo", "service p.other"},
                                                        {"/p.s/Other", "method Other"},
                                                        {"/", "service "},
                                                        {"/a/b/c/d", "service a/b/c"}}) {
    const auto answer = Call(path, "");
    ASSERT_FALSE(answer) << path;
    EXPECT_EQ(answer.error().code(), Code::kUnimplemented);
    EXPECT_THAT(answer.error().Message(), HasSubstr(named));
  }
}

TEST_F(GrpcServerTest, AHandlerSeesTimeoutAndMetadata) {
  const Pending call = client_->Begin("/p.s/Hang", "", std::chrono::hours(1));
  TurnUntil([&] { return !contexts_.empty(); });
  ASSERT_TRUE(contexts_[0].timeout);
  EXPECT_GT(*contexts_[0].timeout, std::chrono::minutes(1));
  // gRPC sends it with few digits, rounded up.
  EXPECT_LE(*contexts_[0].timeout, std::chrono::minutes(61));
  EXPECT_EQ(contexts_[0].metadata["containerd-namespace"], "testing");
  client_->Begin("/p.s/Hang", "");
  TurnUntil([&] { return contexts_.size() == 2; });
  EXPECT_FALSE(contexts_[1].timeout);
}

TEST_F(GrpcServerTest, ACancelledCallIsForgotten) {
  std::vector<Pending> calls;
  for (int i = 0; i < 1000; ++i) calls.push_back(client_->Begin("/p.s/Hang", ""));
  TurnUntil([&] { return hanging_.size() == calls.size(); });
  EXPECT_EQ(server_->open_calls(), calls.size());
  for (const Pending& call : calls) call->context.TryCancel();
  TurnUntil([&] { return server_->open_calls() == 0; });
  for (const ttrpc::CallContext& context : contexts_) EXPECT_TRUE(context.connection.expired());
  for (const ttrpc::Reply& reply : hanging_) reply(std::string("too late"));
  EXPECT_EQ(Call("/p.s/Echo", "still there").value_or("?"), "still there");
}

TEST_F(GrpcServerTest, CallsEndWithTheConnection) {
  base::UniqueFd socket = Connect();
  const base::UniqueFd same(fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
  TestingClient other(std::move(socket));
  const Pending call = other.Begin("/p.s/Hang", "");
  TurnUntil([&] {
    other.Poll();
    return !hanging_.empty();
  });
  EXPECT_FALSE(contexts_[0].connection.expired());
  ASSERT_EQ(shutdown(same.get(), SHUT_RDWR), 0);
  TurnUntil([&] { return server_->open_calls() == 0; });
  EXPECT_TRUE(contexts_[0].connection.expired());
}

TEST_F(GrpcServerTest, ACallThatTakesTooLongEnds) {
  const Pending call = client_->Begin("/p.s/Hang", "", std::chrono::milliseconds(50));
  TurnUntil([&] { return call->done && server_->open_calls() == 0; });
  EXPECT_EQ(call->status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(GrpcServerTest, RefusesAHugeMessageAndGoesOn) {
  const std::string largest(ttrpc::kMaxDataBytes, 'x');
  EXPECT_EQ(Call("/p.s/Echo", largest).value_or("?"), largest);
  const auto answer = Call("/p.s/Echo", largest + "x");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(Call("/p.s/Echo", "small").value_or("?"), "small");
}

TEST_F(GrpcServerTest, RefusesToSendAHugeAnswer) {
  const Pending call = client_->Begin("/p.s/Hang", "");
  TurnUntil([&] { return !hanging_.empty(); });
  hanging_[0](std::string(ttrpc::kMaxDataBytes + 1, 'x'));
  TurnUntil([&] { return call->done; });
  EXPECT_EQ(call->status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(GrpcServerTest, OnlyTheFirstAnswerIsSent) {
  const Pending call = client_->Begin("/p.s/Hang", "");
  TurnUntil([&] { return !hanging_.empty(); });
  hanging_[0](std::string("first"));
  hanging_[0](std::string("second"));
  TurnUntil([&] { return call->done; });
  EXPECT_EQ(TestingClient::Outcome(*call).value_or("?"), "first");
}

TEST_F(GrpcServerTest, FlushesBeforeItIsIdle) {
  const Pending call = client_->Begin("/p.s/Hang", "");
  TurnUntil([&] { return !hanging_.empty(); });
  bool idle = false;
  hanging_[0](std::string(1 << 20, 'x'));
  server_->WhenFlushed([&] { idle = true; });
  TurnUntil([&] { return idle && call->done; });
  EXPECT_TRUE(call->status.ok());
}

TEST_F(GrpcServerTest, AHandlerMayDestroyTheServer) {
  table_.Register("p.s", "End",
                  [this](const ttrpc::CallContext&, std::string_view, const ttrpc::Reply& reply) {
                    server_.reset();
                    reply(std::string("unheard"));
                  });
  const Pending hanging = client_->Begin("/p.s/Hang", "");
  TurnUntil([&] { return !hanging_.empty(); });
  const Pending ending = client_->Begin("/p.s/End", "");
  TurnUntil([&] { return hanging->done && ending->done; });
  EXPECT_FALSE(hanging->status.ok());
  EXPECT_FALSE(ending->status.ok());
}

TEST_F(GrpcServerTest, AnotherClientIsServedMeanwhile) {
  const Pending hanging = client_->Begin("/p.s/Hang", "");
  TestingClient other(Connect());
  const auto call = other.Begin("/p.s/Echo", "hello");
  TurnUntil([&] {
    other.Poll();
    return call->done;
  });
  EXPECT_EQ(TestingClient::Outcome(*call).value_or("?"), "hello");
  EXPECT_FALSE(hanging->done);
}

TEST_F(GrpcServerTest, BytesThatAreNoHttp2EndTheConnectionOnly) {
  base::UniqueFd raw = Connect();
  const std::string garbage = "GET / HTTP/1.0\r\n\r\n";
  ASSERT_EQ(send(raw.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(garbage.size()));
  ssize_t count = -1;
  TurnUntil([&] {
    char buffer[4096];
    count = recv(raw.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno == ECONNRESET);
  });
  EXPECT_EQ(Call("/p.s/Echo", "well").value_or("?"), "well");
}

// RFC 9113, 4.1: length, type, flags, stream.
std::string Http2Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  const size_t size = payload.size();
  std::string frame = {static_cast<char>(size >> 16),   static_cast<char>(size >> 8),
                       static_cast<char>(size),         static_cast<char>(type),
                       static_cast<char>(flags),        static_cast<char>(stream >> 24),
                       static_cast<char>(stream >> 16), static_cast<char>(stream >> 8),
                       static_cast<char>(stream)};
  return frame + payload;
}
// RFC 7541, 6.2.2: a literal without indexing whose name is literal, too.
std::string Header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

TEST_F(GrpcServerTest, CutsOffAClientThatNeverReads) {
  constexpr uint32_t kCalls = 40;
  const std::string answer(1 << 20, 'x');
  base::UniqueFd raw = Connect();
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  // SETTINGS_INITIAL_WINDOW_SIZE (4) = 0: no byte of an answer may be sent.
  bytes += Http2Frame(4, 0, 0, std::string("\0\4\0\0\0\0", 6));
  const std::string headers = Header(":method", "POST") + Header(":scheme", "http") +
                              Header(":path", "/p.s/Hang") + Header(":authority", "x") +
                              Header("te", "trailers") + Header("content-type", "application/grpc");
  for (uint32_t i = 0; i < kCalls; ++i) {
    bytes += Http2Frame(1, 4, 2 * i + 1, headers);                       // END_HEADERS
    bytes += Http2Frame(0, 1, 2 * i + 1, std::string("\0\0\0\0\0", 5));  // END_STREAM
  }
  ASSERT_EQ(send(raw.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
  TurnUntil([&] { return hanging_.size() == kCalls; });
  for (const ttrpc::Reply& reply : hanging_) reply(answer);
  // As many answers as fit wait on; the other calls are over.
  const size_t kept = ttrpc::kMaxBacklogBytes / answer.size();
  TurnUntil([&] { return server_->open_calls() == kept; });
  EXPECT_EQ(Call("/p.s/Echo", "others are served").value_or("?"), "others are served");
  TurnUntil([&] { return server_->open_calls() == kept; });
  raw.Reset();
  TurnUntil([&] { return server_->open_calls() == 0; });
}

}  // namespace
}  // namespace grpc_transport
