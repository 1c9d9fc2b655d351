#include "runtime/shim/streaming_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent-proto/proto/containerd/streaming.pb.h"
#include "agent-proto/proto/containerd/types.pb.h"
#include "agent-proto/proto/ttrpc.pb.h"
#include "agent-proto/ttrpc/connection.h"
#include "agent-proto/ttrpc/server.h"
#include "runtime/base/file.h"
#include "runtime/base/socket.h"

namespace shim {
namespace {

using base::Code;
using ttrpc::MessageType;

std::string Any(const std::string& type, const std::string& value) {
  containerd::Any any;
  any.set_type_url(type);
  any.set_value(value);
  return any.SerializeAsString();
}

// As containerd's: a connection with one stream.
class Client {
 public:
  Client(base::EventLoop& loop, ttrpc::Server& server, const std::string& id) {
    auto pair = base::SocketPair(SOCK_STREAM);
    EXPECT_TRUE(server.Serve(std::move(pair->first)));
    connection_ = *ttrpc::Connection::Create(
        loop, std::move(pair->second),
        {.on_frame = [this](const ttrpc::Frame& frame) { OnFrame(frame); },
         .on_closed = [this] { closed = true; },
         .on_drained = {}});
    ttrpc::wire::Request request;
    request.set_service("containerd.services.streaming.v1.Streaming");
    request.set_method("Stream");
    connection_->Send(1, MessageType::kRequest, ttrpc::kFlagRemoteOpen,
                      request.SerializeAsString());
    containerd::streaming::StreamInit init;
    init.set_id(id);
    Send("containerd.services.streaming.v1.StreamInit", init.SerializeAsString());
  }
  ~Client() { connection_->Close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Send(const std::string& type, const std::string& value) {
    connection_->Send(1, MessageType::kData, 0, Any(type, value));
  }
  void Grant(int32_t bytes) {
    containerd::streaming::WindowUpdate update;
    update.set_update(bytes);
    Send("containerd.types.transfer.WindowUpdate", update.SerializeAsString());
  }
  void SendData(const std::string& bytes) {
    containerd::streaming::Data message;
    message.set_data(bytes);
    Send("containerd.types.transfer.Data", message.SerializeAsString());
  }
  void Close() {
    connection_->Send(1, MessageType::kData, ttrpc::kFlagRemoteClosed | ttrpc::kFlagNoData, {});
  }

  bool acknowledged = false;
  std::string data;
  size_t longest = 0;
  int64_t window = 0;
  bool end = false;
  bool error = false;
  bool closed = false;

 private:
  void OnFrame(const ttrpc::Frame& frame) {
    if (frame.type == static_cast<uint8_t>(MessageType::kResponse)) {
      error = true;
      return;
    }
    if ((frame.flags & ttrpc::kFlagRemoteClosed) != 0) {
      end = true;
      return;
    }
    containerd::Any any;
    ASSERT_TRUE(any.ParseFromString(frame.data));
    if (any.type_url() == "google.protobuf.Empty") {
      acknowledged = true;
    } else if (any.type_url() == "containerd.types.transfer.Data") {
      containerd::streaming::Data message;
      ASSERT_TRUE(message.ParseFromString(any.value()));
      data += message.data();
      longest = std::max(longest, message.data().size());
    } else if (any.type_url() == "containerd.types.transfer.WindowUpdate") {
      containerd::streaming::WindowUpdate message;
      ASSERT_TRUE(message.ParseFromString(any.value()));
      window += message.update();
    } else {
      ADD_FAILURE() << any.type_url();
    }
  }

  std::shared_ptr<ttrpc::Connection> connection_;
};

class StreamingServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);  // as in the daemon
    loop_ = std::move(*base::EventLoop::Create());
    service_ = std::make_unique<StreamingService>(*loop_);
    service_->RegisterIn(table_);
    server_ = std::make_unique<ttrpc::Server>(*loop_, table_);
  }
  // Destroyed before the service.
  void TearDown() override { server_.reset(); }

  template <class Condition>
  bool Until(Condition condition) {
    for (int i = 0; i < 4000; ++i) {
      if (condition()) return true;
      if (!loop_->RunOnce(std::chrono::milliseconds(2))) return false;
    }
    return false;
  }
  void Settle() {
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(1)));
  }
  std::unique_ptr<Client> Connect(const std::string& id) {
    auto client = std::make_unique<Client>(*loop_, *server_, id);
    EXPECT_TRUE(Until([&] { return client->acknowledged || client->error; }));
    return client;
  }
  // Writes as a process does that may be held up; fills `sent`.
  void Feed(const base::UniqueFd& pipe, const std::string& bytes, size_t& sent) {
    if (sent == bytes.size()) return;
    const ssize_t size = write(pipe.get(), bytes.data() + sent, bytes.size() - sent);
    if (size > 0) sent += static_cast<size_t>(size);
  }
  std::string Read(const base::UniqueFd& pipe) {
    char buffer[65536];
    const ssize_t size = read(pipe.get(), buffer, sizeof buffer);
    end_ = size == 0;
    return {buffer, size > 0 ? static_cast<size_t>(size) : 0};
  }
  static std::string Pattern(size_t size) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    return bytes;
  }

  std::unique_ptr<base::EventLoop> loop_;
  ttrpc::ServiceTable table_;
  std::unique_ptr<StreamingService> service_;
  std::unique_ptr<ttrpc::Server> server_;
  bool end_ = false;
};

TEST_F(StreamingServiceTest, AnOutputPassesWholeWithinTheWindow) {
  const auto client = Connect("c-stdout");
  auto opened = service_->OpenOutput("c-stdout");
  ASSERT_TRUE(opened);
  bool taken = false;
  opened->stream->WhenTaken([&] { taken = true; });
  const std::string bytes = Pattern(1 << 20);
  size_t sent = 0;
  int64_t granted = 0;
  ASSERT_TRUE(Until([&] {
    if (granted - static_cast<int64_t>(client->data.size()) < 65536) {
      client->Grant(65536);
      granted += 65536;
    }
    Feed(opened->pipe, bytes, sent);
    EXPECT_LE(client->data.size(), static_cast<size_t>(granted));
    return client->data.size() == bytes.size();
  }));
  EXPECT_EQ(client->data, bytes);
  EXPECT_LE(client->longest, IoStream::kMaxDataBytes);
  opened->pipe.Reset();
  ASSERT_TRUE(Until([&] { return client->end; }));
  EXPECT_FALSE(taken) << "the client has not read the end yet";
  client->Close();
  ASSERT_TRUE(Until([&] { return taken && client->closed; })) << "and its connection goes";
}

TEST_F(StreamingServiceTest, WithoutAWindowTheProcessIsHeldUp) {
  const auto client = Connect("c-stdout");
  auto opened = service_->OpenOutput("c-stdout");
  ASSERT_TRUE(opened);
  const std::string bytes = Pattern(1 << 20);
  size_t sent = 0;
  client->Grant(1000);
  for (int i = 0; i < 50; ++i) {
    Feed(opened->pipe, bytes, sent);
    ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(1)));
  }
  EXPECT_EQ(client->data.size(), 1000u);
  EXPECT_LT(sent, 128u << 10) << "memory is not bounded";
}

// As after containerd's restart: what nobody has taken goes to the next connection.
TEST_F(StreamingServiceTest, AClientThatComesBackLosesNoByte) {
  auto client = Connect("c-stdout");
  auto opened = service_->OpenOutput("c-stdout");
  ASSERT_TRUE(opened);
  const std::string bytes = Pattern(300'000);
  size_t sent = 0;
  client->Grant(50'000);
  ASSERT_TRUE(Until([&] {
    Feed(opened->pipe, bytes, sent);
    return client->data.size() == 50'000;
  }));
  std::string got = client->data;
  client.reset();
  for (int i = 0; i < 20; ++i) {
    Feed(opened->pipe, bytes, sent);
    ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(1)));
  }
  EXPECT_EQ(service_->stream_count(), 1u);
  client = Connect("c-stdout");
  client->Grant(1 << 20);
  ASSERT_TRUE(Until([&] {
    Feed(opened->pipe, bytes, sent);
    return got.size() + client->data.size() == bytes.size();
  }));
  EXPECT_EQ(got + client->data, bytes);
  opened->pipe.Reset();
  ASSERT_TRUE(Until([&] { return client->end; }));
  // Gone before it closed: the next one reads the end, too.
  client = Connect("c-stdout");
  ASSERT_TRUE(Until([&] { return client->end; }));
}

TEST_F(StreamingServiceTest, AReconnectTakesTheOldConnectionsPlace) {
  const auto old = Connect("c-stdout");
  auto opened = service_->OpenOutput("c-stdout");
  ASSERT_TRUE(opened);
  old->Grant(100);
  const auto client = Connect("c-stdout");
  ASSERT_TRUE(Until([&] { return old->error && old->closed; }));
  client->Grant(100);
  ASSERT_TRUE(base::WriteAll(opened->pipe, "hello"));
  ASSERT_TRUE(Until([&] { return client->data == "hello"; }));
  EXPECT_EQ(old->data, "");
}

TEST_F(StreamingServiceTest, AnInputPassesWholeAndEndsWithItsClient) {
  const auto client = Connect("c-stdin");
  auto opened = service_->OpenInput("c-stdin");
  ASSERT_TRUE(opened);
  const std::string bytes = Pattern(1 << 20);
  std::string got;
  size_t sent = 0;
  ASSERT_TRUE(Until([&] {
    const size_t size = std::min(
        {bytes.size() - sent, static_cast<size_t>(client->window) - sent, IoStream::kMaxDataBytes});
    if (size > 0) {
      client->SendData(bytes.substr(sent, size));
      sent += size;
      if (sent == bytes.size()) client->Close();
    }
    got += Read(opened->pipe);
    return end_;
  }));
  EXPECT_EQ(got, bytes);
  ASSERT_TRUE(Until([&] { return client->end && client->closed; }));
}

TEST_F(StreamingServiceTest, AProcessThatDoesNotReadHoldsUpTheClient) {
  const auto client = Connect("c-stdin");
  auto opened = service_->OpenInput("c-stdin");
  ASSERT_TRUE(opened);
  size_t sent = 0;
  for (int i = 0; i < 50; ++i) {
    if (static_cast<size_t>(client->window) > sent) {
      const size_t size = static_cast<size_t>(client->window) - sent;
      client->SendData(std::string(size, 'x'));
      sent += size;
    }
    ASSERT_TRUE(loop_->RunOnce(std::chrono::milliseconds(1)));
  }
  EXPECT_LE(sent, (64u << 10) + 2 * IoStream::kWindowBytes);
}

TEST_F(StreamingServiceTest, CloseIoEndsAnInputWhoseClientHasGone) {
  auto client = Connect("c-stdin");
  auto opened = service_->OpenInput("c-stdin");
  ASSERT_TRUE(opened);
  ASSERT_TRUE(Until([&] { return client->window > 0; }));
  client->SendData("last");
  opened->stream->CloseInput();
  std::string got;
  ASSERT_TRUE(Until([&] {
    got += Read(opened->pipe);
    return got == "last";
  }));
  EXPECT_FALSE(end_) << "the client may have more";
  client.reset();
  ASSERT_TRUE(Until([&] {
    Read(opened->pipe);
    return end_;
  }));
}

// There is no EPIPE for a stream; a client that waited for a window would wait for ever.
TEST_F(StreamingServiceTest, AnInputThatNobodyReadsSwallows) {
  const auto client = Connect("c-stdin");
  auto opened = service_->OpenInput("c-stdin");
  ASSERT_TRUE(opened);
  opened->pipe.Reset();
  size_t sent = 0;
  ASSERT_TRUE(Until([&] {
    if (static_cast<size_t>(client->window) > sent) {
      const size_t size = static_cast<size_t>(client->window) - sent;
      client->SendData(std::string(size, 'x'));
      sent += size;
    }
    return sent > 1u << 20;
  }));
  client->Close();
  ASSERT_TRUE(Until([&] { return client->end; }));
}

TEST_F(StreamingServiceTest, ALetGoOutputIsReadToItsEnd) {
  const auto client = Connect("e-stdout");
  auto opened = service_->OpenOutput("e-stdout");
  ASSERT_TRUE(opened);
  ASSERT_TRUE(base::WriteAll(opened->pipe, std::string(5000, 'x')));
  opened->pipe.Reset();
  opened->stream.reset();
  EXPECT_EQ(service_->stream_count(), 0u) << "the id is free";
  client->Grant(65536);
  ASSERT_TRUE(Until([&] { return client->end; }));
  EXPECT_EQ(client->data.size(), 5000u);
}

TEST_F(StreamingServiceTest, AStreamNobodyClaimsGoesWithItsConnection) {
  auto client = Connect("c-stdout");
  client->Grant(65536);
  Settle();
  EXPECT_EQ(service_->stream_count(), 1u);
  client.reset();
  EXPECT_TRUE(Until([&] { return service_->stream_count() == 0; }));
}

// As an empty stdin's does, whose client is quicker than the call that starts the process.
TEST_F(StreamingServiceTest, AnInputThatItsClientClosedBeforeTheClaimIsAtItsEnd) {
  const auto client = Connect("c-stdin");
  client->Close();
  ASSERT_TRUE(Until([&] { return client->end && client->closed; }));
  EXPECT_EQ(service_->stream_count(), 0u) << "nobody holds it";
  auto opened = service_->OpenInput("c-stdin");
  ASSERT_TRUE(opened);
  EXPECT_EQ(Read(opened->pipe), "");
  EXPECT_TRUE(end_);
  opened->stream.reset();
  const auto next = service_->OpenInput("c-stdin");
  ASSERT_TRUE(next);
  EXPECT_EQ(Read(next->pipe), "");
  EXPECT_FALSE(end_) << "that end was the first one's";
}

TEST_F(StreamingServiceTest, AnEndThatNobodyClaimedIsNotTheNextClients) {
  const auto first = Connect("c-stdin");
  first->Close();
  ASSERT_TRUE(Until([&] { return first->closed; }));
  const auto client = Connect("c-stdin");
  auto opened = service_->OpenInput("c-stdin");
  ASSERT_TRUE(opened);
  ASSERT_TRUE(Until([&] { return client->window > 0; }));
  client->SendData("hello");
  ASSERT_TRUE(Until([&] { return Read(opened->pipe) == "hello"; }));
  EXPECT_FALSE(end_);
}

TEST_F(StreamingServiceTest, EndsThatNobodyClaimsMakeWayOldestFirst) {
  // By name the oldest is the last.
  const auto id = [](size_t i) { return "w" + std::to_string(999 - i); };
  for (size_t i = 0; i <= StreamingService::kMaxWaiting; ++i) {
    const auto client = Connect(id(i));
    ASSERT_FALSE(client->error);
    client->Close();
    ASSERT_TRUE(Until([&] { return client->closed; }));
  }
  const auto at_end = [&](size_t i) {
    const auto opened = service_->OpenInput(id(i));
    EXPECT_TRUE(opened);
    EXPECT_EQ(Read(opened->pipe), "");
    return end_;
  };
  EXPECT_FALSE(at_end(0)) << "it is another stream";
  EXPECT_TRUE(at_end(1));
  EXPECT_TRUE(at_end(StreamingService::kMaxWaiting));
}

TEST_F(StreamingServiceTest, OneProcessHasAStream) {
  auto opened = service_->OpenOutput("c-stdout");
  ASSERT_TRUE(opened);
  EXPECT_EQ(service_->OpenOutput("c-stdout").error().code(), Code::kAlreadyExists);
  EXPECT_EQ(service_->OpenInput("c-stdout").error().code(), Code::kAlreadyExists);
  opened->stream.reset();
  EXPECT_TRUE(service_->OpenInput("c-stdout"));
}

TEST_F(StreamingServiceTest, BadIdsAreRefused) {
  for (const std::string& id :
       {std::string(), std::string("a/b"), std::string("a\nb"), std::string(161, 'x')}) {
    EXPECT_TRUE(Connect(id)->error) << id;
    EXPECT_EQ(service_->OpenOutput(id).error().code(), Code::kInvalidArgument) << id;
  }
  EXPECT_EQ(service_->stream_count(), 0u);
}

TEST_F(StreamingServiceTest, BadMessagesEndTheClientNotTheStream) {
  auto opened = service_->OpenInput("c-stdin");
  ASSERT_TRUE(opened);
  const auto broken = [&](const std::function<void(Client&)>& send) {
    const auto client = Connect("c-stdin");
    EXPECT_TRUE(Until([&] { return client->window > 0; }));
    send(*client);
    return Until([&] { return client->error; });
  };
  const char kWindow[] = "containerd.types.transfer.WindowUpdate";
  EXPECT_TRUE(broken([](Client& client) {
    client.SendData(std::string(static_cast<size_t>(client.window) + 1, 'x'));
  }));
  EXPECT_TRUE(broken([](Client& client) { client.Send("containerd.types.Nothing", ""); }));
  EXPECT_TRUE(broken([&](Client& client) { client.Send(kWindow, "\xff"); }));
  EXPECT_TRUE(broken([](Client& client) { client.Grant(-1); }));
  EXPECT_TRUE(broken([](Client& client) {
    client.Grant(INT32_MAX);
    client.Grant(INT32_MAX);
  }));
  EXPECT_EQ(Read(opened->pipe), "");
  const auto client = Connect("c-stdin");
  ASSERT_TRUE(Until([&] { return client->window > 0; }));
  client->SendData("fine");
  ASSERT_TRUE(Until([&] { return Read(opened->pipe) == "fine"; }));
}

TEST_F(StreamingServiceTest, WaitingStreamsAreLimited) {
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < StreamingService::kMaxWaiting; ++i) {
    clients.push_back(Connect("w" + std::to_string(i)));
    ASSERT_FALSE(clients.back()->error);
  }
  EXPECT_TRUE(Connect("more")->error);
}

}  // namespace
}  // namespace shim
