// pinion-shim-grpc: the pod's daemon with gRPC in place of ttrpc. `containerd-shim-pinion-v2 start`
// runs it where the configuration asks for gRPC; it has no other calls.
#include <google/protobuf/stubs/logging.h>

#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "agent-proto/grpc/server.h"
#include "runtime/pod/anchor.h"
#include "runtime/shim/daemon.h"
#include "runtime/shim/flags.h"

namespace {

base::Result<std::unique_ptr<ttrpc::Transport>> MakeGrpc(base::EventLoop& loop,
                                                         const ttrpc::ServiceTable& table) {
  return std::unique_ptr<ttrpc::Transport>(TRY(grpc_transport::Server::Create(loop, table)));
}

base::Result<void> Run(std::span<const char* const> args) {
  const shim::Flags flags = TRY(shim::ParseFlags(args));
  if (flags.verb != "daemon") {
    return base::MakeError(base::Code::kInvalidArgument,
                           "\"{}\" is no call of this program: containerd-shim-pinion-v2 runs it",
                           flags.verb);
  }
  return shim::RunDaemon(flags, MakeGrpc);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == anchor::kVerb) return anchor::Main();
  // protobuf would write to stderr about bytes that it does not like.
  google::protobuf::SetLogHandler(nullptr);
  const base::Result<void> ended =
      Run(std::span<const char* const>(argv, static_cast<size_t>(argc)).subspan(1));
  if (ended) return 0;
  const std::string text = "pinion-shim-grpc: " + ended.error().Message() + "\n";
  fputs(text.c_str(), stderr);
  return 1;
}
