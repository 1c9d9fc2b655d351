// What the containerd that asks takes: which transport a new daemon gets, and the program that has
// it; which version of answers.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/config/transport.h"
#include "runtime/shim/flags.h"
#include "runtime/shim/start_options.h"

namespace shim {

struct TransportChoice {
  config::Transport transport = config::Transport::kTtrpc;
  std::string program = "/proc/self/exe";  // ours even if the file was replaced since
  // Why the configuration's choice was not taken; empty: it was.
  std::string refusal;
};

// As the configuration says, if the containerd that asks is known to take it. A configuration that
// cannot be read means ttrpc: Create reports it. May run `flags.publish_binary`; blocks.
TransportChoice ChooseTransport(const Flags& flags, const StartOptions& start);

// As it told, or as `flags.publish_binary` --version tells; empty: in no words that are known.
// Blocks.
base::Result<std::string> ContainerdVersion(const Flags& flags, const StartOptions& start);

// "2.1.9": answers of `start` of version 3.
bool TakesVersion3(std::string_view version);

// "1.7.24", "v1.7.24": a version of containerd that keeps a gRPC connection to a shim.
bool TakesGrpc(std::string_view version);

// The version in what `containerd --version` writes: its third word. Empty: there is none.
std::string_view VersionIn(std::string_view line);

}  // namespace shim
