#include "agent-proto/grpc/server.h"

#include <fcntl.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "agent-proto/grpc/backlog.h"
#include "agent-proto/grpc/call.h"
#include "agent-proto/ttrpc/acceptor.h"
#include "agent-proto/ttrpc/flush_waiters.h"
#include "agent-proto/ttrpc/frame.h"
#include "runtime/base/log.h"

namespace grpc_transport {
namespace {

// Open calls of one connection; a client keeps more to itself until one ends (RFC 9113, 5.1.2).
// Waits that were cancelled do not count, unlike with ttrpc, so fewer are enough.
constexpr int kMaxCalls = 16384;

base::LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_ERROR:
      return base::LogLevel::kWarning;  // of one connection, not of the shim
    case GPR_LOG_SEVERITY_INFO:
      return base::LogLevel::kInfo;
    case GPR_LOG_SEVERITY_DEBUG:
      break;
  }
  return base::LogLevel::kDebug;
}

void LogOfGrpc(gpr_log_func_args* line) {
  const base::LogLevel level = LevelOf(line->severity);
  if (base::LogEnabled(level)) base::LogLine(level, "gRPC: " + base::Escaped(line->message, 1024));
}

}  // namespace

class Server::Impl {
 public:
  Impl(base::EventLoop& loop, const ttrpc::ServiceTable& table)
      : loop_(loop),
        table_(table),
        acceptor_(loop, [this](base::UniqueFd socket) { return Serve(std::move(socket)); }),
        waiters_(loop, [this] { return Flushed(); }),
        alive_(std::make_shared<char>()) {}

  base::Result<void> Start() {
    // Never shut down: that waits, up to 10 s, for a poller that gRPC starts for a large write.
    static const bool initialised = (grpc_init(), true);
    static_cast<void>(initialised);
    gpr_set_log_function(LogOfGrpc);
    grpc::ServerBuilder builder;
    builder.RegisterAsyncGenericService(&service_);
    builder.SetMaxReceiveMessageSize(static_cast<int>(ttrpc::kMaxDataBytes));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCalls);
    // Nobody compresses on a local socket, and a small message could unfold to a large one.
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    if (!server_) return base::MakeError(base::Code::kInternal, "gRPC makes no server");
    environment_ =
        std::make_unique<Call::Environment>(Call::Environment{service_, *queue_, table_, backlog_});
    poller_ = std::thread([this] { Poll(); });
    AwaitCall();
    return base::Ok();
  }

  ~Impl() {
    alive_.reset();
    acceptor_.Stop();
    if (!server_) return;
    for (const auto& entry : calls_) entry.second->Abandon();
    server_->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    poller_.join();  // every tag has come back
  }

  base::Result<void> Listen(base::UniqueFd listener) {
    return acceptor_.Listen(std::move(listener));
  }

  base::Result<void> Serve(base::UniqueFd connection) {
    const int flags = fcntl(connection.get(), F_GETFL);
    if (flags < 0 || fcntl(connection.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
      return base::ErrnoError("fcntl(O_NONBLOCK)");
    }
    grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
    return base::Ok();
  }

  void StopListening() { acceptor_.Stop(); }

  void WhenFlushed(std::function<void()> idle) { waiters_.Add(std::move(idle)); }

  size_t open_calls() const {
    return static_cast<size_t>(std::count_if(
        calls_.begin(), calls_.end(), [](const auto& entry) { return entry.second->begun(); }));
  }

 private:
  // gRPC's I/O happens in here.
  void Poll() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
      loop_.Post([this, tag, ok, alive = std::weak_ptr<void>(alive_)] {
        if (!alive.expired()) OnTag(*static_cast<Call::Tag*>(tag), ok);
      });
    }
  }

  void AwaitCall() {
    auto call = std::make_shared<Call>(*environment_);
    calls_.emplace(call.get(), call);
    call->Request();
  }

  void OnTag(const Call::Tag& tag, bool ok) {
    const std::weak_ptr<void> alive = alive_;
    const std::shared_ptr<Call> call = calls_.at(tag.call);
    if (tag.event == Call::Event::kRequested && ok) AwaitCall();
    call->OnEvent(tag.event, ok);
    if (alive.expired()) return;  // a handler may destroy the server
    if (call->over()) calls_.erase(call.get());
    waiters_.Check();
  }

  bool Flushed() const {
    return std::none_of(calls_.begin(), calls_.end(),
                        [](const auto& entry) { return entry.second->answering(); });
  }

  base::EventLoop& loop_;
  const ttrpc::ServiceTable& table_;
  ttrpc::Acceptor acceptor_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  Backlog backlog_;
  std::unique_ptr<Call::Environment> environment_;
  std::map<Call*, std::shared_ptr<Call>> calls_;  // the one that waits for a client, too
  ttrpc::FlushWaiters waiters_;
  std::shared_ptr<void> alive_;  // reset before the thread is joined; reactor only
  std::thread poller_;
};

base::Result<std::unique_ptr<Server>> Server::Create(base::EventLoop& loop,
                                                     const ttrpc::ServiceTable& table) {
  auto impl = std::make_unique<Impl>(loop, table);
  TRY(impl->Start());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

base::Result<void> Server::Listen(base::UniqueFd listener) {
  return impl_->Listen(std::move(listener));
}
base::Result<void> Server::Serve(base::UniqueFd connection) {
  return impl_->Serve(std::move(connection));
}
void Server::StopListening() { impl_->StopListening(); }
void Server::WhenFlushed(std::function<void()> idle) { impl_->WhenFlushed(std::move(idle)); }
size_t Server::open_calls() const { return impl_->open_calls(); }

}  // namespace grpc_transport
