#include "runtime/shim/transport_choice.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>

#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/base/run_program.h"
#include "runtime/config/config.h"

namespace shim {
namespace {

// Of an emulated machine under load; elsewhere it takes some 30 ms.
constexpr std::chrono::seconds kVersionLimit(10);
constexpr size_t kMaxVersionBytes = 4096;

base::Result<std::string> AskVersion(const std::string& containerd) {
  // Non-blocking: a child that it leaves behind could keep the other end open.
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return base::ErrnoError("pipe2");
  const base::UniqueFd read_end(ends[0]);
  base::UniqueFd write_end(ends[1]);
  base::SubprocessOptions options;
  options.program = containerd;
  options.argv = {containerd, "--version"};
  options.fds = {{write_end, STDOUT_FILENO}};
  TRY(base::RunProgram(options, "", kVersionLimit), "{} --version", containerd);
  write_end.Reset();
  const std::string line = TRY(base::ReadAll(read_end, kMaxVersionBytes));
  return std::string(VersionIn(line));
}

}  // namespace

base::Result<std::string> ContainerdVersion(const Flags& flags, const StartOptions& start) {
  if (!start.containerd_version.empty()) return start.containerd_version;
  return AskVersion(flags.publish_binary);
}

bool TakesVersion3(std::string_view version) {
  if (version.starts_with('v')) version.remove_prefix(1);
  const size_t dot = version.find('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  return dot > 1 || (version[0] >= '2' && version[0] <= '9');
}

bool TakesGrpc(std::string_view version) {
  if (version.starts_with('v')) version.remove_prefix(1);
  // Before, there is no gRPC; from 2.0 on, containerd takes a connection that is idle for one that
  // was lost, and has the container deleted a millisecond after it connected.
  return version == "1.7" || version.starts_with("1.7.");
}

std::string_view VersionIn(std::string_view line) {
  for (int word = 0; word < 2; ++word) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) return {};
    line.remove_prefix(space + 1);
  }
  return line.substr(0, line.find_first_of(" \n"));
}

TransportChoice ChooseTransport(const Flags& flags, const StartOptions& start) {
  TransportChoice choice;
  const base::Result<config::Config> config = config::Load(start.config_path);
  if (!config || config->shim.transport == config::Transport::kTtrpc) return choice;
  const base::Result<std::string> version = ContainerdVersion(flags, start);
  if (!version) {
    choice.refusal = "containerd does not tell its version: " + version.error().Message();
  } else if (!TakesGrpc(*version)) {
    choice.refusal =
        fmt::format("containerd {} does not keep such a connection, 1.7 does",
                    version->empty() ? "of no known version" : base::Escaped(*version, 64));
  } else {
    choice.transport = config::Transport::kGrpc;
    choice.program = config->paths.shim_grpc;
  }
  return choice;
}

}  // namespace shim
