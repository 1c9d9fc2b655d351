#include "runtime/shim/streaming_service.h"

#include <algorithm>
#include <utility>

#include "agent-proto/proto/containerd/streaming.pb.h"
#include "agent-proto/proto/containerd/types.pb.h"
#include "runtime/base/log.h"

namespace shim {

using base::Code;
using base::MakeError;

namespace {

base::Result<void> CheckStreamId(const std::string& id) {
  constexpr char kAllowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  if (id.empty() || id.size() > StreamingService::kMaxIdBytes ||
      id.find_first_not_of(kAllowed) != std::string::npos) {
    return MakeError(Code::kInvalidArgument,
                     "streaming id \"{}\": 1 to {} letters, digits and ._- are wanted",
                     base::Escaped(id, 200), StreamingService::kMaxIdBytes);
  }
  return base::Ok();
}

}  // namespace

// What a client's connection is joined to, once it has said which stream it is.
struct StreamingService::Connection {
  ttrpc::ServerStream client;
  std::string id;
  IoStreamPtr stream;
  uint64_t attachment = 0;
};

class StreamingService::Hold : public pod::ClientStream {
 public:
  Hold(StreamingService& service, std::string id, IoStreamPtr stream)
      : service_(service), id_(std::move(id)), stream_(std::move(stream)) {}
  ~Hold() override {
    stream_->WhenTaken({});
    service_.Release(id_);
  }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  void WhenTaken(std::function<void()> done) override { stream_->WhenTaken(std::move(done)); }
  void CloseInput() override { stream_->CloseInput(); }

 private:
  StreamingService& service_;
  const std::string id_;
  const IoStreamPtr stream_;
};

void StreamingService::RegisterIn(ttrpc::ServiceTable& table) {
  table.RegisterStream(
      "containerd.services.streaming.v1.Streaming", "Stream",
      [this](const ttrpc::CallContext&, ttrpc::ServerStream client) {
        // Shared by the four events, as functions are copied.
        const auto connection = std::make_shared<Connection>(Connection{std::move(client), {}, {}});
        ttrpc::StreamEvents events;
        events.on_message = [this, connection](std::string_view message) {
          OnMessage(*connection, message);
        };
        events.on_close = [this, connection] {
          if (!connection->stream) return connection->client.End();
          connection->stream->OnClose(connection->attachment);
          Sweep(connection->id);
        };
        events.on_ready = [connection] {
          if (connection->stream) connection->stream->OnReady(connection->attachment);
        };
        events.on_gone = [this, connection] {
          if (!connection->stream) return;
          connection->stream->OnGone(connection->attachment);
          Sweep(connection->id);
        };
        return events;
      });
}

void StreamingService::OnMessage(Connection& connection, std::string_view message) {
  if (connection.stream) {
    connection.stream->OnMessage(connection.attachment, message);
    return Sweep(connection.id);
  }
  const base::Result<void> joined = Join(connection, message);
  if (!joined) connection.client.End(joined);
}

base::Result<void> StreamingService::Join(Connection& connection, std::string_view message) {
  containerd::Any any;
  containerd::streaming::StreamInit init;
  const bool parsed =
      any.ParseFromArray(message.data(), static_cast<int>(message.size())) &&
      any.type_url().find("containerd.services.streaming.v1.StreamInit") != std::string::npos &&
      init.ParseFromString(any.value());
  if (!parsed) return MakeError(Code::kInvalidArgument, "the first message is no StreamInit");
  TRY(CheckStreamId(init.id()));
  const auto found = streams_.find(init.id());
  IoStreamPtr stream = found != streams_.end() ? found->second : nullptr;
  // One that ended unclaimed was another client's.
  if (!stream || stream->ended_unclaimed()) {
    if (!stream) TRY(MakeRoom());
    stream = std::make_shared<IoStream>(loop_);
    streams_[init.id()] = stream;
  }
  connection.id = init.id();
  connection.stream = stream;
  connection.attachment = connection.stream->Attach(connection.client);
  return base::Ok();
}

base::Result<void> StreamingService::MakeRoom() {
  size_t waiting = 0;
  auto oldest = streams_.end();  // of those that ended
  for (auto entry = streams_.begin(); entry != streams_.end(); ++entry) {
    const IoStream& stream = *entry->second;
    if (stream.claimed()) continue;
    ++waiting;
    if (!stream.ended_unclaimed()) continue;
    if (oldest == streams_.end() || stream.closed_at() < oldest->second->closed_at()) {
      oldest = entry;
    }
  }
  if (waiting < kMaxWaiting) return base::Ok();
  if (oldest == streams_.end()) {
    return MakeError(Code::kResourceExhausted, "{} streams wait for a process already", waiting);
  }
  streams_.erase(oldest);
  return base::Ok();
}

base::Result<pod::OpenedStream> StreamingService::OpenOutput(const std::string& id) {
  return Open(id, IoStream::Direction::kOutput);
}

base::Result<pod::OpenedStream> StreamingService::OpenInput(const std::string& id) {
  return Open(id, IoStream::Direction::kInput);
}

base::Result<pod::OpenedStream> StreamingService::Open(const std::string& id,
                                                       IoStream::Direction direction) {
  TRY(CheckStreamId(id));
  const auto found = streams_.find(id);
  const IoStreamPtr stream =
      found != streams_.end() ? found->second : std::make_shared<IoStream>(loop_);
  base::UniqueFd pipe = TRY(stream->Claim(direction), "stream {}", id);
  streams_[id] = stream;
  return pod::OpenedStream{std::make_unique<Hold>(*this, id, stream), std::move(pipe)};
}

void StreamingService::Sweep(const std::string& id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  const IoStream& stream = *found->second;
  if (!stream.claimed() && !stream.attached() && !stream.ended_unclaimed()) streams_.erase(found);
}

size_t StreamingService::stream_count() const {
  return static_cast<size_t>(std::count_if(streams_.begin(), streams_.end(), [](const auto& entry) {
    return !entry.second->ended_unclaimed();
  }));
}

// A client that is still there keeps it until he has what was under way; the id is free.
void StreamingService::Release(const std::string& id) { streams_.erase(id); }

}  // namespace shim
