#include "agent-proto/ttrpc/client.h"

#include <climits>
#include <utility>

#include "agent-proto/proto/ttrpc.pb.h"
#include "agent-proto/ttrpc/connection.h"
#include "agent-proto/ttrpc/status.h"

namespace ttrpc {

using base::Code;
using base::MakeError;
using Done = std::function<void(base::Result<std::string>)>;

class Client::Impl {
 public:
  Impl(base::EventLoop& loop, std::function<void()> on_closed, size_t max_answer_bytes)
      : loop_(loop),
        on_closed_(std::move(on_closed)),
        max_answer_bytes_(max_answer_bytes),
        alive_(std::make_shared<char>()) {}
  ~Impl() {
    if (connection_) connection_->Close();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  base::Result<void> Connect(base::UniqueFd socket) {
    connection_ =
        TRY(Connection::Create(loop_, std::move(socket),
                               {.on_frame = [this](Frame frame) { OnFrame(std::move(frame)); },
                                .on_closed = [this] { OnClosed(); },
                                .on_drained = {}},
                               max_answer_bytes_));
    return base::Ok();
  }

  void Call(wire::Request request, std::optional<std::chrono::nanoseconds> timeout, Done done) {
    // The connection may be closed with its callback still to come, or after it.
    if (connection_->closed())
      return FailLater(std::move(done), base::Error(Code::kUnavailable, "ttrpc: closed", ENOTCONN));
    if (next_id_ > INT_MAX) {
      return FailLater(std::move(done),
                       MakeError(Code::kResourceExhausted, "no stream ids are left"));
    }
    if (timeout) request.set_timeout_nano(timeout->count());
    const std::string bytes = request.SerializeAsString();
    if (bytes.size() > kMaxDataBytes) {
      return FailLater(std::move(done),
                       MakeError(Code::kResourceExhausted, "{}: {} bytes, at most {} fit",
                                 request.method(), bytes.size(), kMaxDataBytes));
    }
    const uint32_t id = next_id_;
    next_id_ += 2;
    Pending pending{std::move(done), request.method(), {}};
    if (timeout) {
      pending.deadline = loop_.After(*timeout, [this, id, limit = *timeout] {
        Finish(id, MakeError(Code::kDeadlineExceeded, "no answer within {} ms",
                             std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()));
      });
    }
    pending_.emplace(id, std::move(pending));
    connection_->Send(id, MessageType::kRequest, 0, bytes);
  }

 private:
  struct Pending {
    Done done;
    std::string method;
    base::Timer deadline;
  };

  void FailLater(Done done, base::Error error) {
    // std::function wants a copyable closure, Error is not.
    auto shared = std::make_shared<base::Error>(std::move(error));
    loop_.Post([done = std::move(done), shared, alive = std::weak_ptr<void>(alive_)] {
      if (!alive.expired()) done(std::move(*shared));
    });
  }

  void OnFrame(Frame frame) {
    // Anything else, and answers to calls that have timed out, is the peer's business.
    if (frame.type != static_cast<uint8_t>(MessageType::kResponse)) return;
    if (frame.oversize) {
      Finish(frame.stream_id,
             MakeError(Code::kResourceExhausted, "the answer has {} bytes, at most {} are taken",
                       frame.length, max_answer_bytes_));
      return;
    }
    Finish(frame.stream_id, DecodeResponse(frame.data));
  }

  // Last use of `this`: the callback may destroy the client.
  void Finish(uint32_t id, base::Result<std::string> result) {
    auto node = pending_.extract(id);
    if (node.empty()) return;
    if (!result) result.error().Push(__FILE__, __LINE__, "{}", node.mapped().method);
    node.mapped().done(std::move(result));
  }

  void OnClosed() {
    std::map<uint32_t, Pending> pending = std::exchange(pending_, {});
    const std::function<void()> on_closed = std::move(on_closed_);
    const std::weak_ptr<void> alive = alive_;
    for (auto& [id, call] : pending) {
      call.done(base::Error(Code::kUnavailable, call.method + ": ttrpc: closed", ENOTCONN));
      if (alive.expired()) return;
    }
    if (on_closed) on_closed();
  }

  base::EventLoop& loop_;
  std::function<void()> on_closed_;
  const size_t max_answer_bytes_;
  std::shared_ptr<void> alive_;
  std::shared_ptr<Connection> connection_;
  uint32_t next_id_ = 1;
  std::map<uint32_t, Pending> pending_;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

base::Result<std::unique_ptr<Client>> Client::Create(base::EventLoop& loop,
                                                     base::UniqueFd connection,
                                                     std::function<void()> on_closed,
                                                     size_t max_answer_bytes) {
  auto impl = std::make_unique<Impl>(loop, std::move(on_closed), max_answer_bytes);
  TRY(impl->Connect(std::move(connection)));
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

void Client::CallRaw(const std::string& service, const std::string& method, std::string payload,
                     const CallOptions& options, Done done) {
  wire::Request request;
  request.set_service(service);
  request.set_method(method);
  request.set_payload(std::move(payload));
  for (const auto& [key, value] : options.metadata) {
    wire::KeyValue* pair = request.add_metadata();
    pair->set_key(key);
    pair->set_value(value);
  }
  impl_->Call(std::move(request), options.timeout, std::move(done));
}

}  // namespace ttrpc
