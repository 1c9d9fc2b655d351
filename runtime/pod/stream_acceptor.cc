#include "runtime/pod/stream_acceptor.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "agent-proto/proto/agent.pb.h"
#include "runtime/base/log.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;
using pinion::agent::v1::StreamHello;

// In a time that does not depend on where they differ.
bool Same(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

base::Result<void> ParseHello(const std::string& bytes, const std::string& token,
                              GuestStream* stream) {
  StreamHello hello;
  if (!hello.ParseFromString(bytes)) {
    return MakeError(Code::kInvalidArgument, "the first frame is no StreamHello");
  }
  if (!Same(hello.token(), token)) {
    return MakeError(Code::kPermissionDenied, "a StreamHello that is not the agent's");
  }
  switch (hello.kind()) {
    case StreamHello::STDIN:
      stream->kind = StreamKind::kStdin;
      break;
    case StreamHello::STDOUT:
      stream->kind = StreamKind::kStdout;
      break;
    case StreamHello::STDERR:
      stream->kind = StreamKind::kStderr;
      break;
    case StreamHello::FORWARD:
      stream->forward = true;
      break;
    default:
      return MakeError(Code::kInvalidArgument, "a stream of kind {}",
                       static_cast<int>(hello.kind()));
  }
  stream->container_id = hello.container_id();
  stream->exec_id = hello.exec_id();
  return base::Ok();
}

}  // namespace

void StreamAcceptor::Accept(base::UniqueFd socket) {
  if (pending_.size() >= kMaxPending) {
    log_.Add(base::LogLevel::kWarning,
             fmt::format("{} connections of the guest wait already, one more is refused",
                         pending_.size()));
    return;
  }
  const uint64_t id = next_id_++;
  base::Result<base::Watch> watch =
      loop_.WatchFd(socket, EPOLLIN, [this, id](uint32_t) { OnReadable(id); });
  if (!watch) {
    LOG_ERROR("stdio: {}", watch.error().Trail());
    return;
  }
  base::Timer timer = loop_.After(kHelloTimeout, [this, id] { pending_.erase(id); });
  pending_.emplace(id, Pending{std::move(socket), {}, std::move(*watch), std::move(timer)});
}

base::Result<bool> StreamAcceptor::TryHello(Pending& pending, GuestStream* stream) {
  char buffer[4096];
  const ssize_t size =
      TEMP_FAILURE_RETRY(recv(pending.socket.get(), buffer, sizeof buffer, MSG_DONTWAIT));
  if (size < 0 && errno == EAGAIN) return false;
  if (size < 0) return base::ErrnoError("read");
  if (size == 0) return MakeError(Code::kUnavailable, "closed before its StreamHello");
  pending.decoder.Push({buffer, static_cast<size_t>(size)});
  const std::optional<stream::Decoder::Frame> frame = TRY(pending.decoder.Next());
  if (!frame && pending.decoder.buffered() > kMaxHelloBytes) {
    return MakeError(Code::kOutOfRange, "a StreamHello of more than {} bytes", kMaxHelloBytes);
  }
  if (!frame) return false;
  if (frame->eof || frame->bytes.size() > kMaxHelloBytes) {
    return MakeError(Code::kInvalidArgument, "the first frame is no StreamHello");
  }
  TRY(ParseHello(frame->bytes, token_, stream));
  return true;
}

void StreamAcceptor::OnReadable(uint64_t id) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  GuestStream stream;
  const base::Result<bool> complete = TryHello(found->second, &stream);
  if (complete && !*complete) return;
  if (!complete) {
    log_.Add(base::LogLevel::kWarning, "a connection of the guest: " + complete.error().Message());
    pending_.erase(found);
    return;
  }
  found->second.watch.Cancel();
  stream.socket = std::move(found->second.socket);
  stream.decoder = std::move(found->second.decoder);
  pending_.erase(found);
  on_stream_(std::move(stream));
}

}  // namespace pod
