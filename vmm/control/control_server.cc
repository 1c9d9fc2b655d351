#include "vmm/control/control_server.h"

#include <span>
#include <utility>

#include "agent-proto/proto/vmm_control.pb.h"
#include "runtime/base/log.h"
#include "runtime/base/socket.h"
#include "vmm/control/configure.h"

namespace vmm {

namespace {

namespace v1 = pinion::vmm::v1;

// vmm_control.proto: a message's limits.
constexpr size_t kMaxMessageBytes = 64 << 10;
constexpr size_t kMaxFds = 8;

v1::Exited::Reason ReasonOf(StopReason reason) {
  switch (reason) {
    case StopReason::kPowerOff:
      return v1::Exited::POWER_OFF;
    case StopReason::kReset:
      return v1::Exited::RESET;
    case StopReason::kTripleFault:
      return v1::Exited::TRIPLE_FAULT;
    case StopReason::kInternalError:
      return v1::Exited::INTERNAL_ERROR;
  }
  return v1::Exited::UNKNOWN;
}

base::Error WrongState(const char* request) {
  return base::MakeError(base::Code::kFailedPrecondition, "{}: not in this state of the machine",
                         request);
}

}  // namespace

base::Result<std::unique_ptr<ControlServer>> ControlServer::Create(base::UniqueFd socket,
                                                                   base::EventLoop& loop,
                                                                   Filters filters) {
  std::unique_ptr<ControlServer> server(
      new ControlServer(std::move(socket), loop, std::move(filters)));
  ControlServer* raw = server.get();
  server->watch_ =
      TRY(loop.WatchFd(server->socket_, EPOLLIN, [raw](uint32_t) { raw->OnReadable(); }));
  return server;
}

ControlServer::ControlServer(base::UniqueFd socket, base::EventLoop& loop, Filters filters)
    : socket_(std::move(socket)),
      loop_(loop),
      filters_(std::move(filters)),
      buffer_(kMaxMessageBytes) {}

void ControlServer::OnReadable() {
  base::Result<base::SocketMessage> received = base::ReceiveMessage(socket_, buffer_, kMaxFds);
  if (!received && received.error().error_number() == EAGAIN) return;
  if (!received) {
    LOG_ERROR("control socket: {}", received.error().Message());
    return End();
  }
  if (received->size == 0) {
    LOG_INFO("the shim is gone");
    return End();
  }
  v1::ToVmm message;
  if (!message.ParseFromArray(buffer_.data(), static_cast<int>(received->size)) ||
      message.id() == 0) {
    LOG_ERROR("control socket: a message of {} bytes cannot be read", received->size);
    return End();
  }
  Dispatch(message, std::move(received->fds));
}

void ControlServer::Dispatch(const v1::ToVmm& message, std::vector<base::UniqueFd> fds) {
  bool reply_later = false;
  const base::Result<void> result = Handle(message, std::move(fds), reply_later);
  if (!result) LOG_ERROR("request {}: {}", message.id(), result.error().Trail());
  if (!reply_later || !result) Reply(message.id(), result);
}

base::Result<void> ControlServer::Handle(const v1::ToVmm& message, std::vector<base::UniqueFd> fds,
                                         bool& reply_later) {
  switch (message.request_case()) {
    case v1::ToVmm::kCreateVm:
      return CreateVm(message, std::move(fds));
    case v1::ToVmm::kConfigure:
      return Configure(message, std::move(fds));
    case v1::ToVmm::kRun:
      if (state_ != State::kConfigured) return WrongState("Run");
      state_ = State::kRunning;
      machine_->Run();
      return base::Ok();
    case v1::ToVmm::kPause:
      if (state_ != State::kRunning) return WrongState("Pause");
      reply_later = true;
      return Pause(message.id());
    case v1::ToVmm::kResume:
      if (state_ != State::kPaused) return WrongState("Resume");
      state_ = State::kRunning;
      machine_->Run();
      return base::Ok();
    case v1::ToVmm::kAddCpus:
    case v1::ToVmm::kRemoveCpus:
      if (state_ != State::kRunning) return WrongState("AddCpus and RemoveCpus");
      reply_later = true;
      return Resize(message);
    case v1::ToVmm::kPlugNet:
      if (state_ != State::kRunning) return WrongState("PlugNet");
      return machine_->PlugNet(message.plug_net().device(),
                               TRY(ReadPlugNet(message.plug_net(), std::move(fds))));
    default:
      return base::MakeError(base::Code::kUnimplemented, "a request that this vmm does not know");
  }
}

base::Result<void> ControlServer::CreateVm(const v1::ToVmm& message,
                                           std::vector<base::UniqueFd> fds) {
  if (state_ != State::kIdle || vm_) return WrongState("CreateVm");
  base::UniqueFd kvm = TRY(ReadCreateVm(message.create_vm(), std::move(fds)));
  vm_ = TRY(EmptyVm::Create(std::move(kvm)));
  return base::Ok();
}

base::Result<void> ControlServer::Configure(const v1::ToVmm& message,
                                            std::vector<base::UniqueFd> fds) {
  if (state_ != State::kIdle || !vm_) return WrongState("Configure");
  MachineConfig config = TRY(ReadConfigure(message.configure(), std::move(fds)));
  machine_ = TRY(
      Machine::Create(*std::exchange(vm_, std::nullopt), std::move(config), loop_,
                      {.on_stopped = [this](const Stop& stop) { OnStopped(stop); },
                       .on_vsock_connect =
                           [this](uint32_t host_port, uint32_t guest_port, base::UniqueFd stream) {
                             return OnVsockConnect(host_port, guest_port, std::move(stream));
                           }}));
  if (filters_.device) TRY(filters_.device(), "seccomp");
  TRY(machine_->Realise(filters_.vcpu));
  state_ = State::kConfigured;
  return base::Ok();
}

base::Result<void> ControlServer::Pause(uint64_t id) {
  state_ = State::kPausing;
  return machine_->Pause([this, id] {
    // Stopped meanwhile: Exited has been sent.
    if (state_ != State::kPausing) return;
    state_ = State::kPaused;
    Reply(id, base::Ok());
  });
}

base::Result<void> ControlServer::Resize(const v1::ToVmm& message) {
  const auto done = [this, id = message.id()](base::Result<void> result,
                                              std::vector<uint32_t> cpus) {
    // Stopped meanwhile: Exited has been sent.
    if (state_ != State::kEnded) Reply(id, result, cpus);
  };
  CpuResize& resize = machine_->cpu_resize();
  if (message.has_add_cpus()) {
    const auto& indices = message.add_cpus().indices();
    return resize.Add({indices.data(), static_cast<size_t>(indices.size())}, done);
  }
  const auto& indices = message.remove_cpus().indices();
  return resize.Remove({indices.data(), static_cast<size_t>(indices.size())}, done);
}

void ControlServer::Reply(uint64_t id, const base::Result<void>& result,
                          std::span<const uint32_t> cpus) {
  v1::FromVmm reply;
  reply.set_id(id);
  reply.mutable_cpus()->Add(cpus.begin(), cpus.end());
  if (!result) {
    reply.set_code(static_cast<int32_t>(result.error().code()));
    reply.set_message(result.error().Message());
  }
  const base::Result<void> sent = Send(reply);
  if (sent) return;
  // A shim that does not take an answer is as good as gone.
  LOG_ERROR("answer {}: {}", id, sent.error().Message());
  End();
}

base::Result<void> ControlServer::Send(const v1::FromVmm& message, base::BorrowedFd fd) {
  const std::string bytes = message.SerializeAsString();
  const std::span<const base::BorrowedFd> fds =
      fd.valid() ? std::span<const base::BorrowedFd>(&fd, 1) : std::span<const base::BorrowedFd>();
  return base::SendMessage(socket_, std::as_bytes(std::span(bytes.data(), bytes.size())), fds);
}

// An error refuses the guest's connection; a shim that is slow to read costs it no more.
base::Result<void> ControlServer::OnVsockConnect(uint32_t host_port, uint32_t guest_port,
                                                 base::UniqueFd stream) {
  v1::FromVmm event;
  event.mutable_vsock_connect()->set_host_port(host_port);
  event.mutable_vsock_connect()->set_guest_port(guest_port);
  return Send(event, stream);
}

void ControlServer::OnStopped(const Stop& stop) {
  LOG_INFO("the machine has ended: {}: {}", StopReasonName(stop.reason), stop.detail);
  state_ = State::kEnded;
  v1::FromVmm event;
  v1::Exited& exited = *event.mutable_exited();
  exited.set_reason(ReasonOf(stop.reason));
  exited.set_detail(stop.detail);
  for (const auto& [kind, count] : machine_->ExitCounts()) {
    (*exited.mutable_exits())[kind] = count;
  }
  const base::Result<void> sent = Send(event);
  if (!sent) LOG_ERROR("last message: {}", sent.error().Message());
  End();
}

void ControlServer::End() {
  state_ = State::kEnded;
  watch_.Cancel();
  loop_.Stop();
}

}  // namespace vmm
