// The command line that containerd calls us with, read as Go's flag package reads it: -x v, --x v,
// -x=v; flags end at the first other word, which is the verb. Unknown flags are skipped, since a
// later containerd may pass more. Thread rule: reentrant.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "runtime/base/result.h"

namespace shim {

struct Flags {
  std::string ns;              // -namespace
  std::string id;              // -id
  std::string address;         // -address: containerd's gRPC socket
  std::string publish_binary;  // -publish-binary: containerd itself
  std::string bundle;          // -bundle, with delete
  std::string socket;          // -socket, with daemon
  std::string key;             // -key, with daemon: the pod's
  std::string config;          // -config, with daemon: what `start` was given for the whole shim
  bool debug = false;
  bool info = false;     // -info
  bool version = false;  // -v, -version
  bool help = false;     // -h, -help
  std::string verb;      // "start", "delete", "daemon"; empty: none
};

// `args` without the program's name. kInvalidArgument names the flag that lacks its value.
base::Result<Flags> ParseFlags(std::span<const char* const> args);

// kInvalidArgument unless `id` is a containerd identifier (pkg/identifiers: letters and digits,
// single ._- between them, at most 76 bytes). It becomes part of paths.
base::Result<void> CheckIdentifier(std::string_view what, std::string_view id);

}  // namespace shim
