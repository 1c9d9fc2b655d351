// CreateSandbox as containerd's clients may send it: the request raw, or right but for its options.
// What is written for the pod, it reads back as it was, or refuses.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "runtime/cpu/request.h"
#include "runtime/shim/sandbox_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  containerd::sandbox::CreateSandboxRequest request;
  if ((data[0] & 1) != 0) {
    if (!request.ParseFromString(bytes)) return 0;
  } else {
    request.set_sandbox_id("pod");
    request.set_netns_path("/run/netns/x");
    request.mutable_options()->set_type_url("runtime.v1.PodSandboxConfig");
    request.mutable_options()->set_value(bytes);
  }
  const auto spec = shim::SandboxSpec(request);
  if (!spec) return 0;
  const auto read = oci::Parse(oci::Serialise(*spec));
  if (read && *read != *spec) abort();
  if (read) (void)cpu::RequestFromSpec(*read);
  return 0;
}
