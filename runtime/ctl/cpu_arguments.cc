#include "runtime/ctl/cpu_arguments.h"

#include "oci/spec.h"
#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/config/config.h"
#include "runtime/cpu/request.h"
#include "runtime/cpu/topology_json.h"

namespace ctl {
namespace {

using base::Code;

// A pod of more containers than the kubelet starts on a node.
constexpr size_t kMaxSpecs = 1024;

base::Result<void> SetPolicy(const std::string& text, CpuArguments& out) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return base::MakeError(Code::kInvalidArgument, "--policy \"{}\": must be KEY=VALUE",
                           base::Escaped(text, 64));
  }
  out.policy.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  return base::Ok();
}

base::Result<oci::Spec> ReadSpec(const std::string& path) {
  const std::string text = TRY(base::ReadFile(path, oci::kMaxSpecBytes), "spec {}", path);
  return TRY(oci::ParseResources(text), "spec {}", path);
}

}  // namespace

base::Result<CpuArguments> ParseCpuArguments(const Arguments& arguments) {
  CpuArguments parsed;
  bool after_spec = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const size_t equals = arguments[i].find('=');
    const std::string flag = arguments[i].substr(0, equals);
    if (flag == "--help" || flag == "-h") {
      parsed.help = true;
      continue;
    }
    if (flag == "--json" && equals == std::string::npos) {
      parsed.json = true;
      after_spec = false;
      continue;
    }
    const bool is_flag = flag == "--host" || flag == "--spec" || flag == "--policy";
    if (!is_flag && after_spec && !arguments[i].starts_with('-')) {
      parsed.specs.push_back(arguments[i]);
      continue;
    }
    if (!is_flag) {
      return base::MakeError(Code::kInvalidArgument,
                             "\"{}\": --host, --spec, --policy, --json or "
                             "--help must be here",
                             base::Escaped(arguments[i], 64));
    }
    if (equals == std::string::npos && i + 1 == arguments.size()) {
      return base::MakeError(Code::kInvalidArgument, "{} without a value", flag);
    }
    const std::string value =
        equals == std::string::npos ? arguments[++i] : arguments[i].substr(equals + 1);
    after_spec = flag == "--spec";
    if (flag == "--host") parsed.host = value;
    if (flag == "--spec") parsed.specs.push_back(value);
    if (flag == "--policy") TRY(SetPolicy(value, parsed));
  }
  if (parsed.help) return parsed;
  if (parsed.specs.empty()) {
    return base::MakeError(Code::kInvalidArgument, "no --spec CONFIG.json was given");
  }
  if (parsed.specs.size() > kMaxSpecs) {
    return base::MakeError(Code::kInvalidArgument, "{} specs, at most {} are read",
                           parsed.specs.size(), kMaxSpecs);
  }
  return parsed;
}

base::Result<Planned> ReadAndPlan(const CpuArguments& arguments) {
  Planned planned;
  planned.host = TRY(cpu::ReadHost(arguments.host));
  std::vector<oci::Spec> specs;
  for (const std::string& path : arguments.specs) specs.push_back(TRY(ReadSpec(path)));

  config::Config config;
  for (const auto& [key, value] : arguments.policy) {
    TRY(config::SetCpuKey(key, value, config), "--policy");
  }
  for (const oci::Spec& spec : specs) TRY(config::ApplyAnnotations(spec.annotations, config));
  planned.policy = config.cpu;

  cpu::CpuRequest request = TRY(cpu::RequestFromSpecs(specs));
  request.memory_mib = TRY(cpu::GuestMemoryMib(specs, config.guest.default_memory_mib,
                                               config.guest.memory_overhead_mib));
  planned.plan = TRY(cpu::Plan(planned.host, request, planned.policy));
  return planned;
}

}  // namespace ctl
