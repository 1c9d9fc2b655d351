// The state of a container as hooks read it from their standard input: OCI runtime-spec 1.2,
// runtime.md "State". Thread rule: values.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

namespace oci {

struct State {
  std::string oci_version;
  std::string id;
  std::string status;  // "creating", "created", "running", "stopped"
  pid_t pid = 0;       // 0: absent
  std::string bundle;
  std::map<std::string, std::string> annotations;
};

std::string Serialise(const State& state);

}  // namespace oci
