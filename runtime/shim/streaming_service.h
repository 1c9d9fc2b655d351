// containerd's Streaming service (containerd.services.streaming.v1.Streaming), for `io_type =
// "streaming"`: the streams that containerd opens at our socket, one on a connection of its own,
// to be the standard streams of containers and execs. It opens them before the task is created,
// and again, by the same ids, after a restart of its own.
//
// Thread rule: reactor-bound. Ownership: outlives the pod and the server. Limits: kMaxWaiting
// streams that no process has claimed; they go with their connections, but for those that their
// clients have closed in order: such a one is a stdin's end, and stays to be claimed, until others
// want its place.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent-proto/ttrpc/dispatch.h"
#include "runtime/pod/client_streams.h"
#include "runtime/shim/io_stream.h"

namespace shim {

class StreamingService : public pod::ClientStreams {
 public:
  static constexpr size_t kMaxWaiting = 256;
  static constexpr size_t kMaxIdBytes = 160;

  explicit StreamingService(base::EventLoop& loop) : loop_(loop) {}
  StreamingService(const StreamingService&) = delete;
  StreamingService& operator=(const StreamingService&) = delete;

  void RegisterIn(ttrpc::ServiceTable& table);

  base::Result<pod::OpenedStream> OpenOutput(const std::string& id) override;
  base::Result<pod::OpenedStream> OpenInput(const std::string& id) override;

  // Streams that a client or a process holds.
  size_t stream_count() const;

 private:
  class Hold;
  struct Connection;
  using IoStreamPtr = std::shared_ptr<IoStream>;

  base::Result<pod::OpenedStream> Open(const std::string& id, IoStream::Direction direction);
  void OnMessage(Connection& connection, std::string_view message);
  base::Result<void> Join(Connection& connection, std::string_view message);
  // For one more that waits.
  base::Result<void> MakeRoom();
  // Forgets it if nobody holds it any more.
  void Sweep(const std::string& id);
  void Release(const std::string& id);

  base::EventLoop& loop_;
  std::map<std::string, IoStreamPtr> streams_;
};

}  // namespace shim
