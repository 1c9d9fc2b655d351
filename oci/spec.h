// config.json of an OCI bundle as plain structs: OCI runtime-spec 1.2, config.md. Parse, Validate
// and Serialise are all that is done to it here: no I/O, no policy.
//
// Trust: whoever wrote the bundle. Parse accepts at most kMaxSpecBytes, kMaxSpecDepth levels and
// kMaxSpecListLength entries in a list or map; a string with a NUL byte is refused, since no kernel
// interface could take it whole. Fields that are not known are passed over, as the specification
// ("Extensibility") demands, and are lost when the spec is serialised.
// Thread rule: reentrant.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/linux_config.h"
#include "oci/process.h"
#include "runtime/base/result.h"

namespace oci {

constexpr size_t kMaxSpecBytes = 4 << 20;
constexpr size_t kMaxSpecDepth = 32;
constexpr size_t kMaxSpecListLength = 65536;

struct Root {
  std::string path;
  bool readonly = false;
  bool operator==(const Root&) const = default;
};

struct Mount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  bool operator==(const Mount&) const = default;
};

struct Spec {
  std::string oci_version;
  std::optional<Process> process;
  std::optional<Root> root;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  LinuxConfig linux_config;  // "linux", a macro in GNU dialects
  bool operator==(const Spec&) const = default;
};

// Reads and validates. kInvalidArgument, with the JSON path, the value and the clause:
// `linux.resources.cpu.quota: "10" is a string, want an integer (OCI runtime-spec 1.2,
// config-linux.md "CPU")`.
base::Result<Spec> Parse(std::string_view json);

// Reads all, but validates `linux.resources` alone: for programs that plan and run nothing, to whom
// a document without `process` is as good.
base::Result<Spec> ParseResources(std::string_view json);

// What the clauses demand beyond types. Parse has done it already; for specs made by other means.
base::Result<void> Validate(const Spec& spec);

// config.json text; Parse gives an equal Spec back.
std::string Serialise(const Spec& spec);

// `process` alone, as an exec carries it (containerd sends it as JSON).
base::Result<Process> ParseProcess(std::string_view json);
std::string Serialise(const Process& process);

// `linux.resources` alone, as an update carries it. Resources of an update may be partial.
base::Result<Resources> ParseLinuxResources(std::string_view json);
std::string Serialise(const Resources& resources);

}  // namespace oci
