// containerd-shim-pinion-v2: containerd runtime v2, "Shim". See bootstrap.h for the calls.
#include <google/protobuf/stubs/logging.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "agent-proto/ttrpc/server.h"
#include "runtime/base/file.h"
#include "runtime/pod/anchor.h"
#include "runtime/shim/bootstrap.h"
#include "runtime/shim/daemon.h"
#include "runtime/shim/flags.h"

namespace {

constexpr std::string_view kHelp =
    "Usage: containerd-shim-pinion-v2 [flags] start|delete\n"
    "containerd runs this program; with `ctr run --runtime io.containerd.pinion.v2`, for example.\n"
    "  -namespace NS  -id ID  -address SOCKET  -publish-binary PATH  -bundle PATH  -debug\n"
    "  -info     what containers may ask for, as a containerd.types.RuntimeInfo\n"
    "  -v        the version\n";

base::Result<std::unique_ptr<ttrpc::Transport>> MakeTtrpc(base::EventLoop& loop,
                                                          const ttrpc::ServiceTable& table) {
  return std::unique_ptr<ttrpc::Transport>(std::make_unique<ttrpc::Server>(loop, table));
}

base::Result<std::string> Run(const shim::Flags& flags) {
  if (flags.help) return std::string(kHelp);
  if (flags.version) return shim::VersionText();
  if (flags.info) return shim::Info();
  if (flags.verb == "start") return shim::Start(flags);
  if (flags.verb == "delete") return shim::Delete(flags);
  if (flags.verb == "daemon") {
    TRY(shim::RunDaemon(flags, MakeTtrpc));
    return std::string();
  }
  return base::MakeError(base::Code::kInvalidArgument, "\"{}\" is no call of this program\n{}",
                         flags.verb, kHelp);
}

}  // namespace

int main(int argc, char** argv) {
  // Before everything else: there is one of these per container, for as long as it lives.
  if (argc == 2 && std::string_view(argv[1]) == anchor::kVerb) return anchor::Main();
  // protobuf writes to stderr about bytes it does not like, and containerd reads the stderr of
  // `start` as part of the address.
  google::protobuf::SetLogHandler(nullptr);
  base::Result<std::string> output = std::string();
  base::Result<shim::Flags> flags =
      shim::ParseFlags(std::span<const char* const>(argv, static_cast<size_t>(argc)).subspan(1));
  if (flags) {
    output = Run(*flags);
  } else {
    output = std::move(flags.error());
  }
  if (output) {
    base::Result<void> written = base::WriteAll(base::BorrowedFd(STDOUT_FILENO), *output);
    if (written) return 0;
    output = std::move(written.error());
  }
  // containerd shows this text to the user.
  const std::string text = "containerd-shim-pinion-v2: " + output.error().Message() + "\n";
  fputs(text.c_str(), stderr);
  return 1;
}
