#include "runtime/config/config.h"

#include <unistd.h>

// Header-only and without exceptions: a parse error comes back as a value. toml++ 3.3 asserts, or
// with NDEBUG assumes, that what follows "[" starts a key, just before it checks that with an
// error: neither may be in force, since a typing mistake must not end the shim.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <optional>

#include "oci/annotations.h"
#include "runtime/base/file.h"
#include "runtime/config/values.h"

namespace config {
namespace {

using base::Code;

constexpr size_t kMaxFileBytes = 1 << 20;

// Debian 13 and later; qemu-system-common of Debian 12.
constexpr const char* kVirtiofsdPlaces[] = {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"};

// A scalar as setters see it; other types of TOML have no key here.
std::optional<Value> ToValue(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return Value(*text);
  if (const auto number = node.value_exact<int64_t>()) return Value(*number);
  if (const auto truth = node.value_exact<bool>()) return Value(*truth);
  return std::nullopt;
}

struct Key {
  std::string_view section;
  std::string_view name;
  base::Result<void> (*set)(Config& config, const Value& value);
};

constexpr Key kKeys[] = {
    {"paths", "vmm", [](Config& c, const Value& v) { return SetPath(v, c.paths.vmm); }},
    {"paths", "kernel", [](Config& c, const Value& v) { return SetPath(v, c.paths.kernel); }},
    {"paths", "initrd", [](Config& c, const Value& v) { return SetPath(v, c.paths.initrd); }},
    {"paths", "virtiofsd", [](Config& c, const Value& v) { return SetPath(v, c.paths.virtiofsd); }},
    {"paths", "run_dir", [](Config& c, const Value& v) { return SetPath(v, c.paths.run_dir); }},
    {"paths", "shim_grpc", [](Config& c, const Value& v) { return SetPath(v, c.paths.shim_grpc); }},
    {"guest", "extra_cmdline",
     [](Config& c, const Value& v) { return SetCommandLine(v, c.guest.extra_cmdline); }},
    {"guest", "default_memory_mib",
     [](Config& c, const Value& v) {
       return SetNumber(v, 64, 1 << 24, c.guest.default_memory_mib);
     }},
    {"guest", "memory_overhead_mib",
     [](Config& c, const Value& v) {
       return SetNumber(v, 0, 1 << 16, c.guest.memory_overhead_mib);
     }},
    {"guest", "console_log",
     [](Config& c, const Value& v) { return SetBool(v, c.guest.console_log); }},
    {"agent", "connect_timeout_seconds",
     [](Config& c, const Value& v) {
       return SetNumber(v, 1, 86400, c.agent.connect_timeout_seconds);
     }},
    {"agent", "call_timeout_seconds",
     [](Config& c, const Value& v) {
       return SetNumber(v, 1, 86400, c.agent.call_timeout_seconds);
     }},
    {"cpu", "pinning", [](Config& c, const Value& v) { return SetPinning(v, c.cpu.pinning); }},
    {"cpu", "smt", [](Config& c, const Value& v) { return SetSmt(v, c.cpu.smt); }},
    {"cpu", "default_vcpus",
     [](Config& c, const Value& v) { return SetNumber(v, 1, cpu::kMaxCpus, c.cpu.default_vcpus); }},
    {"cpu", "max_vcpus",
     [](Config& c, const Value& v) { return SetNumber(v, 0, cpu::kMaxCpus, c.cpu.max_vcpus); }},
    {"cpu", "spare_vcpus",
     [](Config& c, const Value& v) { return SetNumber(v, 0, cpu::kMaxCpus, c.cpu.spare_vcpus); }},
    {"cpu", "housekeeping",
     [](Config& c, const Value& v) { return SetCpuSet(v, c.cpu.housekeeping); }},
    {"cpu", "boot", [](Config& c, const Value& v) { return SetBoot(v, c.cpu.boot); }},
    {"cpu", "cpu_vendor",
     [](Config& c, const Value& v) { return SetCpuVendor(v, c.cpu.cpu_vendor); }},
    {"cpu", "core_scheduling",
     [](Config& c, const Value& v) { return SetBool(v, c.cpu.core_scheduling); }},
    {"jail", "uid_base",
     [](Config& c, const Value& v) { return SetNumber(v, 1, UINT32_MAX - 1, c.jail.uid_base); }},
    {"jail", "uid_count",
     [](Config& c, const Value& v) { return SetNumber(v, 1, 1 << 24, c.jail.uid_count); }},
    {"shim", "transport",
     [](Config& c, const Value& v) { return SetTransport(v, c.shim.transport); }},
    {"log", "level", [](Config& c, const Value& v) { return SetLogLevel(v, c.log_level); }},
};

// What a pod may choose for itself: none of these reaches beyond its own machine. `housekeeping` is
// missing because those CPUs are the host's to give.
constexpr std::string_view kAllowedAnnotations[] = {"pinning", "smt", "default_vcpus", "max_vcpus",
                                                    "spare_vcpus"};

const Key* FindKey(std::string_view section, std::string_view name) {
  for (const Key& key : kKeys) {
    if (key.section == section && key.name == name) return &key;
  }
  return nullptr;
}

bool IsSection(std::string_view name) {
  for (const Key& key : kKeys) {
    if (key.section == name) return true;
  }
  return false;
}

std::string At(const std::string& name, const toml::source_region& source) {
  return fmt::format("{}:{}", name, source.begin.line);
}

base::Result<void> ReadSection(const std::string& name, std::string_view section,
                               const toml::table& table, Config& config) {
  for (const auto& [toml_key, node] : table) {
    const std::string where = fmt::format("{}: [{}] {}", At(name, toml_key.source()), section,
                                          base::Escaped(toml_key.str(), 64));
    const Key* key = FindKey(section, toml_key.str());
    if (!key) return base::MakeError(Code::kInvalidArgument, "{}: unknown key", where);
    const auto value = ToValue(node);
    if (!value) {
      return base::MakeError(Code::kInvalidArgument,
                             "{}: must be a string, an integer, true or false", where);
    }
    TRY(key->set(config, *value), "{} = {}", where, Shown(*value));
  }
  return base::Ok();
}

base::Result<void> CheckWhole(const std::string& name, const Config& config) {
  const uint64_t end = uint64_t{config.jail.uid_base} + config.jail.uid_count;
  // (uid_t)-1 means "unchanged" to setresuid(2).
  if (end > UINT32_MAX) {
    return base::MakeError(Code::kInvalidArgument,
                           "{}: [jail] uid_base {} + uid_count {} goes beyond the largest uid",
                           name, config.jail.uid_base, config.jail.uid_count);
  }
  return base::Ok();
}

void FindVirtiofsd(std::string& path) {
  if (!path.empty()) return;
  path = kVirtiofsdPlaces[0];
  for (const char* place : kVirtiofsdPlaces) {
    if (access(place, X_OK) != 0) continue;
    path = place;
    return;
  }
}

}  // namespace

base::Result<Config> ParseToml(std::string_view text, const std::string& name) {
  const toml::parse_result parsed = toml::parse(text, name);
  if (!parsed) {
    return base::MakeError(Code::kInvalidArgument, "{}: not TOML: {}",
                           At(name, parsed.error().source()),
                           base::Escaped(parsed.error().description(), 256));
  }
  Config config;
  for (const auto& [section, node] : parsed.table()) {
    const std::string where = At(name, section.source());
    if (!IsSection(section.str())) {
      return base::MakeError(Code::kInvalidArgument, "{}: unknown {} \"{}\"", where,
                             node.is_table() ? "section" : "key", base::Escaped(section.str(), 64));
    }
    if (!node.is_table()) {
      return base::MakeError(Code::kInvalidArgument, "{}: {} must be a section: [{}]", where,
                             section.str(), section.str());
    }
    TRY(ReadSection(name, section.str(), *node.as_table(), config));
  }
  TRY(CheckWhole(name, config));
  return config;
}

base::Result<Config> Load(const std::string& path) {
  const std::string file = path.empty() ? kDefaultPath : path;
  auto text = base::ReadFile(file, kMaxFileBytes);
  const bool may_be_missing = path.empty();
  if (!text && !(may_be_missing && text.error().error_number() == ENOENT)) {
    text.error().Push(__FILE__, __LINE__, "configuration");
    return std::move(text.error());
  }
  Config config;
  if (text) config = TRY(ParseToml(*text, file));
  FindVirtiofsd(config.paths.virtiofsd);
  return config;
}

base::Result<void> SetCpuKey(const std::string& name, const std::string& text, Config& config) {
  const Key* key = FindKey("cpu", name);
  if (!key) {
    return base::MakeError(Code::kInvalidArgument, "[cpu] {}: unknown key",
                           base::Escaped(name, 64));
  }
  TRY(key->set(config, name == "housekeeping" ? Value(text) : FromAnnotation(text)),
      "[cpu] {} = \"{}\"", name, base::Escaped(text, 64));
  return base::Ok();
}

base::Result<void> ApplyAnnotations(const std::map<std::string, std::string>& annotations,
                                    Config& config) {
  const uint32_t host_max_vcpus = config.cpu.max_vcpus;
  for (const auto& [annotation, text] : annotations) {
    if (!annotation.starts_with(oci::kPinionCpuPrefix)) continue;
    const std::string name = annotation.substr(oci::kPinionCpuPrefix.size());
    const std::string where = fmt::format("annotation {}", base::Escaped(annotation, 128));
    bool allowed = false;
    for (const std::string_view candidate : kAllowedAnnotations) allowed |= candidate == name;
    if (!allowed) {
      return base::MakeError(Code::kInvalidArgument, "{}: not one that a pod may set", where);
    }
    TRY(FindKey("cpu", name)->set(config, FromAnnotation(text)), "{} = \"{}\"", where,
        base::Escaped(text, 64));
  }
  if (host_max_vcpus != 0 && (config.cpu.max_vcpus == 0 || config.cpu.max_vcpus > host_max_vcpus)) {
    config.cpu.max_vcpus = host_max_vcpus;
  }
  return base::Ok();
}

}  // namespace config
