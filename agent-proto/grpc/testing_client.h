// A gRPC client for unit tests, with bytes for messages. Thread rule: a value of one thread, which
// calls Poll; it never blocks, so that the server's loop can turn in the same thread.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agent-proto/ttrpc/frame.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace grpc_transport {

class TestingClient {
 public:
  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
    grpc::ByteBuffer answer;
    grpc::Status status;
    bool done = false;
  };

  explicit TestingClient(base::UniqueFd socket)
      : TestingClient(
            grpc::CreateCustomInsecureChannelFromFd("test", socket.Release(), Arguments())) {}
  explicit TestingClient(const std::string& socket_path)
      : TestingClient(grpc::CreateCustomChannel("unix:" + socket_path,
                                                grpc::InsecureChannelCredentials(), Arguments())) {}
  // Cancels what is not done.
  ~TestingClient() {
    for (const auto& call : pending_) call->context.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) Finish(tag);
  }
  TestingClient(const TestingClient&) = delete;
  TestingClient& operator=(const TestingClient&) = delete;

  // `method`: "/package.Service/Method". Alive until it is done, whoever holds it.
  std::shared_ptr<Call> Begin(const std::string& method, const std::string& message,
                              std::optional<std::chrono::milliseconds> timeout = {}) {
    auto call = std::make_shared<Call>();
    if (timeout) call->context.set_deadline(std::chrono::system_clock::now() + *timeout);
    call->context.AddMetadata("containerd-namespace", "testing");
    const grpc::Slice slice(message);
    call->reader =
        stub_.PrepareUnaryCall(&call->context, method, grpc::ByteBuffer(&slice, 1), &queue_);
    call->reader->StartCall();
    call->reader->Finish(&call->answer, &call->status, call.get());
    pending_.insert(call);
    return call;
  }

  // Takes what has come, if anything has within `wait`.
  void Poll(std::chrono::milliseconds wait = std::chrono::milliseconds(0)) {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + wait) ==
           grpc::CompletionQueue::GOT_EVENT) {
      Finish(tag);
      wait = std::chrono::milliseconds(0);
    }
  }

  // What the server answered.
  static base::Result<std::string> Outcome(const Call& call) {
    if (!call.status.ok()) {
      return base::MakeError(static_cast<base::Code>(call.status.error_code()), "{}",
                             call.status.error_message());
    }
    grpc::Slice slice;
    if (!call.answer.DumpToSingleSlice(&slice).ok()) {
      return base::MakeError(base::Code::kInternal, "no answer");
    }
    return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }

 private:
  explicit TestingClient(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {}

  // So that a test can send more than the server takes.
  static grpc::ChannelArguments Arguments() {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(2 * static_cast<int>(ttrpc::kMaxDataBytes));
    arguments.SetMaxSendMessageSize(2 * static_cast<int>(ttrpc::kMaxDataBytes));
    return arguments;
  }
  void Finish(void* tag) {
    const auto call = std::find_if(pending_.begin(), pending_.end(),
                                   [&](const auto& entry) { return entry.get() == tag; });
    (*call)->done = true;
    pending_.erase(call);
  }

  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
  std::set<std::shared_ptr<Call>> pending_;
};

}  // namespace grpc_transport
