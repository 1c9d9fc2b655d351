#include "runtime/shim/start_options.h"

#include "agent-proto/proto/containerd/options.pb.h"

namespace shim {
namespace {

using base::Code;
using base::MakeError;

// containerd (2.3, pkg/shim compat.go) keeps to this length so that the path fits sun_path.
constexpr size_t kMaxSocketDirBytes = 42;

template <class Options>
base::Result<Options> Parse(const containerd::Any& any) {
  Options options;
  if (!options.ParseFromString(any.value())) {
    return MakeError(Code::kInvalidArgument, "stdin: the options are no {}", any.type_url());
  }
  return options;
}

base::Result<void> ApplyOptions(const containerd::Any& any, StartOptions& out) {
  if (any.type_url() == "containerd.runc.v1.Options") {
    out.shim_cgroup = TRY(Parse<containerd::options::RuncOptions>(any)).shim_cgroup();
  } else if (any.type_url() == "runtimeoptions.v1.Options") {
    out.config_path = TRY(Parse<containerd::options::RuntimeOptions>(any)).config_path();
  }
  return base::Ok();
}

}  // namespace

base::Result<StartOptions> ParseStartOptions(std::string_view stdin_bytes, const Flags& flags) {
  StartOptions out;
  if (stdin_bytes.empty()) return out;
  // Their fields overlap, so that an Any can parse as BootstrapParams; only the ids tell.
  containerd::options::BootstrapParams params;
  const int size = static_cast<int>(stdin_bytes.size());
  if (params.ParseFromArray(stdin_bytes.data(), size) && params.instance_id() == flags.id &&
      params.namespace_() == flags.ns) {
    for (const containerd::options::Extension& extension : params.extensions()) {
      TRY(ApplyOptions(extension.value(), out));
    }
    out.containerd_version = params.containerd_version();
    out.socket_dir = params.socket_dir();
    if (out.socket_dir.size() > kMaxSocketDirBytes ||
        (!out.socket_dir.empty() && out.socket_dir[0] != '/')) {
      return MakeError(Code::kInvalidArgument,
                       "stdin: socket_dir {} is not absolute, or over {} bytes", out.socket_dir,
                       kMaxSocketDirBytes);
    }
    return out;
  }
  containerd::Any any;
  if (!any.ParseFromArray(stdin_bytes.data(), size)) {
    return MakeError(Code::kInvalidArgument, "stdin: {} bytes that are no options", size);
  }
  TRY(ApplyOptions(any, out));
  return out;
}

}  // namespace shim
