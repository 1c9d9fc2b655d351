// Both ends of a ttrpc connection against a hostile peer: any process that reaches the shim's
// socket, and an agent whose container has taken it over. The first byte cuts the input into
// pieces.
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "agent-proto/ttrpc/client.h"
#include "agent-proto/ttrpc/server.h"
#include "runtime/base/socket.h"

namespace {

base::EventLoop& Loop() {
  static auto loop = base::EventLoop::Create();
  return **loop;
}

ttrpc::ServiceTable MakeTable() {
  ttrpc::ServiceTable table;
  table.Register("s", "Echo",
                 [](const ttrpc::CallContext&, std::string_view payload,
                    const ttrpc::Reply& reply) { reply(std::string(payload)); });
  // Keeps its reply for ever.
  table.Register("s", "Hang", [](const ttrpc::CallContext&, std::string_view, ttrpc::Reply) {});
  table.RegisterStream("s", "Stream", [](const ttrpc::CallContext&, ttrpc::ServerStream stream) {
    ttrpc::StreamEvents events;
    events.on_message = [stream](std::string_view message) mutable {
      if (stream.ready()) stream.Send(message);
      if (message.empty()) stream.End();
    };
    events.on_close = [stream]() mutable { stream.End(); };
    return events;
  });
  return table;
}

void Feed(const base::UniqueFd& socket, std::string_view bytes, size_t piece) {
  char sink[4096];
  while (!bytes.empty()) {
    const size_t size = std::min(piece, bytes.size());
    if (send(socket.get(), bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL) <= 0) return;
    bytes.remove_prefix(size);
    (void)!Loop().RunOnce(std::chrono::milliseconds(0));
    while (recv(socket.get(), sink, sizeof sink, MSG_DONTWAIT) > 0) {
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t piece = size_t{data[0]} + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  static const ttrpc::ServiceTable table = MakeTable();
  auto server_pair = base::SocketPair(SOCK_STREAM);
  auto client_pair = base::SocketPair(SOCK_STREAM);
  if (!server_pair || !client_pair) return 0;

  ttrpc::Server server(Loop(), table);
  if (!server.Serve(std::move(server_pair->first))) return 0;
  Feed(server_pair->second, bytes, piece);

  auto client = ttrpc::Client::Create(Loop(), std::move(client_pair->first), {});
  if (!client) return 0;
  int answers = 0;
  for (int i = 0; i < 3; ++i) {
    (*client)->CallRaw("s", "Echo", "x", {}, [&](const base::Result<std::string>&) { ++answers; });
  }
  Feed(client_pair->second, bytes, piece);
  client_pair->second.Reset();
  while (answers < 3) (void)!Loop().RunOnce(std::chrono::milliseconds(10));
  return 0;
}
