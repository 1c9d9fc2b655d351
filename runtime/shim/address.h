// Where the shim of a pod listens. Thread rule: reentrant.
#pragma once

#include <string>
#include <string_view>

#include "runtime/base/result.h"
#include "runtime/config/transport.h"

namespace shim {

// containerd's own shim uses this directory whatever containerd's state directory is.
inline constexpr char kSocketDirectory[] = "/run/containerd/s";

// The id that all containers of one pod share: of config.json's annotations
// io.containerd.runc.v2.group or io.kubernetes.cri.sandbox-id, the first that is there, else `id`.
// An empty `config_json` is no config.json.
base::Result<std::string> GroupingKey(std::string_view config_json, const std::string& id);

// GroupingKey of ./config.json, which may be absent.
base::Result<std::string> GroupingKeyHere(const std::string& id);

// <directory>/<hex sha256 of address/ns/key>: short whatever the ids are, and the path that
// containerd's own tests look for. `address` is containerd's gRPC socket as it was given.
std::string SocketPath(const std::string& address, const std::string& ns, const std::string& key,
                       const std::string& directory = kSocketDirectory);

// What SocketPath takes as its key. Each transport has a path of its own, so that a pod's socket
// tells its transport, whatever the configuration says by now.
std::string SocketKey(config::Transport transport, const std::string& key);

struct Endpoint {
  config::Transport transport = config::Transport::kTtrpc;
  std::string socket;
  bool operator==(const Endpoint&) const = default;
};

// What `start` answers and leaves in ./address: "unix://" and the path for ttrpc, which every
// containerd takes; for gRPC the JSON of protocol version 2, which 1.7 knows.
std::string ToText(const Endpoint& endpoint);
// The answer of version 3 for ttrpc, which containerd takes from 2.0 on.
std::string ToVersion3Text(const Endpoint& endpoint);
// Reads either.
base::Result<Endpoint> ParseEndpoint(std::string_view text);

}  // namespace shim
