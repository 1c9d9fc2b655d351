#include "runtime/pod/control_channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <utility>

#include "agent-proto/proto/vmm_control.pb.h"
#include "runtime/base/log.h"
#include "runtime/base/socket.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;
using pinion::vmm::v1::Exited;
using pinion::vmm::v1::FromVmm;
using pinion::vmm::v1::ToVmm;

constexpr size_t kMaxMessageBytes = 64 << 10;
constexpr int kMessagesPerEvent = 16;
constexpr size_t kMaxTextCharacters = 2048;

// getsockopt is the kernel's word about a descriptor, not the sender's.
base::Result<void> CheckStreamSocket(base::BorrowedFd fd) {
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) {
    return base::ErrnoError("the vmm's descriptor: getsockopt(SO_DOMAIN)");
  }
  size = sizeof type;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    return base::ErrnoError("the vmm's descriptor: getsockopt(SO_TYPE)");
  }
  if (domain != AF_UNIX || type != SOCK_STREAM) {
    return MakeError(Code::kInvalidArgument,
                     "the vmm's descriptor is a socket of domain {} and type {}, not AF_UNIX "
                     "SOCK_STREAM",
                     domain, type);
  }
  return base::Ok();
}

const char* ReasonText(Exited::Reason reason) {
  switch (reason) {
    case Exited::POWER_OFF:
      return "the guest powered off";
    case Exited::RESET:
      return "the guest asked for a reset";
    case Exited::TRIPLE_FAULT:
      return "the guest's CPU gave up (triple fault)";
    case Exited::INTERNAL_ERROR:
      return "the vmm failed";
    default:
      return "the vmm ended for an unknown reason";
  }
}

std::string ExitText(const Exited& exited) {
  std::string text = ReasonText(exited.reason());
  if (!exited.detail().empty()) {
    text += ": " + base::Escaped(exited.detail(), kMaxTextCharacters);
  }
  return text;
}

// 1 to 16 are google.rpc.Code; our Code has the first 14, kUnavailable is our own word for a vmm
// that has ended, and what is left is kUnknown.
Code CodeOf(int32_t value) {
  return value >= 1 && value < static_cast<int32_t>(Code::kUnavailable) ? static_cast<Code>(value)
                                                                        : Code::kUnknown;
}

}  // namespace

ControlChannel::ControlChannel(base::EventLoop& loop, base::UniqueFd socket, Events events)
    : loop_(loop), socket_(std::move(socket)), events_(std::move(events)) {
  buffer_.resize(kMaxMessageBytes);
}

ControlChannel::~ControlChannel() = default;

base::Result<std::unique_ptr<ControlChannel>> ControlChannel::Create(base::EventLoop& loop,
                                                                     base::UniqueFd socket,
                                                                     Events events) {
  std::unique_ptr<ControlChannel> channel(
      new ControlChannel(loop, std::move(socket), std::move(events)));
  channel->watch_ = TRY(loop.WatchFd(channel->socket_, EPOLLIN,
                                     [raw = channel.get()](uint32_t) { raw->OnReadable(); }));
  return channel;
}

void ControlChannel::Request(ToVmm request, std::span<const base::BorrowedFd> fds,
                             std::function<void(base::Result<void>)> done) {
  Send(std::move(request), fds,
       [done = std::move(done)](base::Result<void> result, const std::vector<uint32_t>&) {
         done(std::move(result));
       });
}

void ControlChannel::RequestCpus(ToVmm request, CpusDone done) {
  Send(std::move(request), {}, std::move(done));
}

void ControlChannel::Send(ToVmm request, std::span<const base::BorrowedFd> fds, Done done) {
  const uint64_t id = next_id_++;
  request.set_id(id);
  const std::string bytes = request.SerializeAsString();
  base::Result<void> sent = base::Ok();
  if (!watch_.active()) {
    sent = MakeError(Code::kUnavailable, "the vmm has ended");
  } else if (bytes.size() > kMaxMessageBytes || fds.size() > kMaxControlFds) {
    sent = MakeError(Code::kInvalidArgument,
                     "a request of {} bytes and {} descriptors, at most {} and {} are allowed",
                     bytes.size(), fds.size(), kMaxMessageBytes, kMaxControlFds);
  } else {
    sent = base::SendMessage(socket_, std::as_bytes(std::span(bytes)), fds);
  }
  if (sent) {
    pending_.emplace(id, std::move(done));
    return;
  }
  auto error = std::make_shared<base::Error>(std::move(sent.error()));
  loop_.Post([alive = std::weak_ptr(alive_), error, done = std::move(done)] {
    if (!alive.expired()) done(std::move(*error), {});
  });
}

void ControlChannel::OnReadable() {
  const std::weak_ptr<bool> alive = alive_;
  for (int i = 0; i < kMessagesPerEvent; ++i) {
    base::Result<base::SocketMessage> received =
        base::ReceiveMessage(socket_, buffer_, kMaxControlFds);
    if (!received) {
      if (received.error().error_number() == EAGAIN) return;
      if (received.error().error_number() == EMFILE) {
        // A connection of the guest's: it sees it refused, as the other end has gone.
        log_.Add(base::LogLevel::kWarning,
                 "a connection is refused: " + received.error().Message());
        continue;
      }
      return Close(received.error().Message());
    }
    if (received->size == 0) return Close({});
    FromVmm message;
    if (!message.ParseFromArray(buffer_.data(), static_cast<int>(received->size))) {
      return Close("the vmm sent bytes that are no message");
    }
    const base::Result<void> handled = Handle(message, std::move(received->fds));
    if (alive.expired()) return;
    if (!handled) return Close(handled.error().Message());
    if (!watch_.active()) return;
  }
}

base::Result<void> ControlChannel::Handle(const FromVmm& message, std::vector<base::UniqueFd> fds) {
  const size_t due = message.has_vsock_connect() ? 1 : 0;
  if (fds.size() != due) {
    return MakeError(Code::kInvalidArgument, "the vmm sent {} descriptors where {} were due",
                     fds.size(), due);
  }
  if (message.id() != 0) return HandleAnswer(message);
  if (message.has_exited()) {
    events_.on_exited(ExitText(message.exited()));
    return base::Ok();
  }
  if (!message.has_vsock_connect()) {
    return MakeError(Code::kInvalidArgument, "the vmm sent an event that is none");
  }
  TRY(CheckStreamSocket(fds[0]));
  // Whatever the vmm left: the flag belongs to the open file, which it shares.
  const int flags = fcntl(fds[0].get(), F_GETFL);
  if (flags < 0 || fcntl(fds[0].get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return base::ErrnoError("fcntl(F_SETFL, O_NONBLOCK)");
  }
  events_.on_connect(message.vsock_connect().host_port(), std::move(fds[0]));
  return base::Ok();
}

base::Result<void> ControlChannel::HandleAnswer(const FromVmm& message) {
  const auto waiting = pending_.find(message.id());
  if (waiting == pending_.end()) {
    return MakeError(Code::kInvalidArgument, "the vmm answered request {}, which does not wait",
                     message.id());
  }
  const Done done = std::move(waiting->second);
  pending_.erase(waiting);
  std::vector<uint32_t> cpus(message.cpus().begin(), message.cpus().end());
  if (message.code() == 0) {
    done(base::Ok(), std::move(cpus));
  } else {
    done(MakeError(CodeOf(message.code()), "{}",
                   base::Escaped(message.message(), kMaxTextCharacters)),
         std::move(cpus));
  }
  return base::Ok();
}

void ControlChannel::Close(std::string why) {
  watch_.Cancel();
  socket_.Reset();
  const std::weak_ptr<bool> alive = alive_;
  while (!pending_.empty()) {
    const Done done = std::move(pending_.begin()->second);
    pending_.erase(pending_.begin());
    done(MakeError(Code::kUnavailable, "{}", why.empty() ? "the vmm has ended" : why), {});
    if (alive.expired()) return;
  }
  events_.on_closed(std::move(why));
}

}  // namespace pod
