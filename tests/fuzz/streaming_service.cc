// Clients of the Streaming service, who are wrong in any order: frames that are right but for what
// the input chooses of stream, type, flags and message, on connections that come and go, while
// processes claim streams, write, read and leave. ttrpc_frames has the frames that are not right.
#include "runtime/shim/streaming_service.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "agent-proto/proto/containerd/streaming.pb.h"
#include "agent-proto/proto/ttrpc.pb.h"
#include "agent-proto/ttrpc/frame.h"
#include "agent-proto/ttrpc/server.h"
#include "runtime/base/socket.h"
#include "tests/fuzz/input.h"

namespace {

base::EventLoop& Loop() {
  static auto loop = base::EventLoop::Create();
  return **loop;
}

std::string StreamId(uint8_t choice) { return std::string(1, static_cast<char>('a' + choice % 4)); }

std::string Any(const std::string& type, const std::string& value) {
  containerd::Any any;
  any.set_type_url(type);
  any.set_value(value);
  return any.SerializeAsString();
}

std::string Message(Input& input) {
  const uint8_t what = input.Byte();
  switch (what & 7) {
    case 0: {
      ttrpc::wire::Request request;
      request.set_service("containerd.services.streaming.v1.Streaming");
      request.set_method("Stream");
      if ((what & 8) != 0) request.set_timeout_nano(1);
      if ((what & 16) != 0) request.set_payload(Message(input));
      return request.SerializeAsString();
    }
    case 1:
    case 2: {
      containerd::streaming::StreamInit init;
      init.set_id((what & 128) != 0 ? input.Bytes() : StreamId(what >> 3));
      return Any("containerd.services.streaming.v1.StreamInit", init.SerializeAsString());
    }
    case 3: {
      containerd::streaming::Data data;
      data.set_data(std::string(input.Word(), 'x'));
      return Any("containerd.types.transfer.Data", data.SerializeAsString());
    }
    case 4: {
      containerd::streaming::WindowUpdate update;
      update.set_update(static_cast<int32_t>(uint32_t{input.Word()} << (what >> 3)));
      return Any("containerd.types.transfer.WindowUpdate", update.SerializeAsString());
    }
    case 5:
      return Any(input.Bytes(), input.Bytes());
    case 6:
      return input.Bytes();
    default:
      return {};
  }
}

struct Client {
  base::UniqueFd socket;
  ttrpc::FrameReader reader;
};

class Shim {
 public:
  Shim() { service_.RegisterIn(table_); }

  void Step(Input& input) {
    const uint8_t what = input.Byte();
    Client& client = clients_[what >> 4 & 1];
    pod::OpenedStream& process = processes_[what >> 4 & 3];
    switch (what & 15) {
      case 0:
        return Connect(client);
      case 1:
        return client.socket.Reset();
      case 2:
      case 3:
        return Claim(process, StreamId(what >> 6), (what & 15) == 2);
      case 4:
        return Write(process.pipe, std::string(input.Word(), 'y'));
      case 5: {
        char sink[65536];
        if (process.pipe) (void)!read(process.pipe.get(), sink, sizeof sink);
        return;
      }
      case 6:
        return process.pipe.Reset();
      case 7:
        if (process.stream) process.stream->CloseInput();
        return;
      case 8:
        if (process.stream) process.stream->WhenTaken([] {});
        return;
      case 9:
        process = {};
        return;
      case 10:
        return Read(client);
      case 11:
        return Turn();
      default:
        return Send(client, input);
    }
  }
  void Turn() {
    (void)!Loop().RunOnce(std::chrono::milliseconds(0));
    if (service_.stream_count() > shim::StreamingService::kMaxWaiting + processes_.size()) abort();
  }
  // Everybody leaves: nothing may stay.
  void End() {
    for (Client& client : clients_) client = {};
    for (int i = 0; i < 6; ++i) Turn();
    processes_ = {};
    Turn();
    if (service_.stream_count() != 0) abort();
  }

 private:
  void Connect(Client& client) {
    auto pair = base::SocketPair(SOCK_STREAM | SOCK_NONBLOCK);
    if (!pair) return;
    client = {std::move(pair->first), {}};
    (void)server_.Serve(std::move(pair->second)).has_value();
  }
  void Claim(pod::OpenedStream& process, const std::string& id, bool output) {
    process = {};
    auto opened = output ? service_.OpenOutput(id) : service_.OpenInput(id);
    if (opened) process = std::move(*opened);
  }
  static void Write(const base::UniqueFd& fd, const std::string& bytes) {
    if (fd) (void)!write(fd.get(), bytes.data(), bytes.size());
  }
  void Send(const Client& client, Input& input) {
    const uint32_t stream_id = input.Byte() & 15;
    const auto type = static_cast<ttrpc::MessageType>(input.Byte() & 3);
    const uint8_t flags = input.Byte();
    Write(client.socket, ttrpc::EncodeFrame(stream_id, type, flags, Message(input)));
    Turn();
  }
  // What containerd reads: whole frames, none longer than it takes.
  static void Read(Client& client) {
    char buffer[65536];
    ssize_t size;
    while (client.socket && (size = read(client.socket.get(), buffer, sizeof buffer)) > 0) {
      client.reader.Push({buffer, static_cast<size_t>(size)});
    }
    while (const auto frame = client.reader.Next()) {
      containerd::Any any;
      containerd::streaming::Data data;
      if (frame->oversize) abort();
      if (frame->type != static_cast<uint8_t>(ttrpc::MessageType::kData)) continue;
      if (!any.ParseFromString(frame->data)) abort();
      if (any.type_url() != "containerd.types.transfer.Data") continue;
      if (!data.ParseFromString(any.value()) ||
          data.data().size() > shim::IoStream::kMaxDataBytes) {
        abort();
      }
    }
  }

  ttrpc::ServiceTable table_;
  shim::StreamingService service_{Loop()};
  ttrpc::Server server_{Loop(), table_};
  std::array<Client, 2> clients_;
  std::array<pod::OpenedStream, 4> processes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  signal(SIGPIPE, SIG_IGN);  // as in the daemon
  Input input(data, size);
  Shim shim;
  while (!input.empty()) shim.Step(input);
  shim.End();
  return 0;
}
