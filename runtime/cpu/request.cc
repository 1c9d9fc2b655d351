#include "runtime/cpu/request.h"

#include <charconv>
#include <string>

#include "oci/annotations.h"
#include "runtime/base/log.h"

namespace cpu {
namespace {

template <class Number>
base::Result<bool> ReadAnnotation(const oci::Spec& spec, std::string_view name, Number& out) {
  const auto found = spec.annotations.find(std::string(name));
  if (found == spec.annotations.end() || found->second.empty()) return false;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error == std::errc() && end == text.data() + text.size()) return true;
  return base::MakeError(base::Code::kInvalidArgument, "annotations.{}: \"{}\" is not a number",
                         name, base::Escaped(text, 64));
}

}  // namespace

base::Result<CpuRequest> RequestFromSpec(const oci::Spec& spec) {
  CpuRequest request;
  const auto type = spec.annotations.find(std::string(oci::kContainerType));
  request.cri = type != spec.annotations.end();

  ContainerRequest pod;
  bool has_pod = TRY(ReadAnnotation(spec, oci::kSandboxCpuQuota, pod.quota_us));
  has_pod |= TRY(ReadAnnotation(spec, oci::kSandboxCpuPeriod, pod.period_us));
  has_pod |= TRY(ReadAnnotation(spec, oci::kSandboxCpuShares, pod.shares));
  if (has_pod) request.pod = pod;
  if (request.cri && type->second == oci::kContainerTypeSandbox) return request;

  ContainerRequest container;
  if (const auto& cpu = spec.linux_config.resources.cpu) {
    container.shares = cpu->shares.value_or(0);
    container.quota_us = cpu->quota_us.value_or(0);
    container.period_us = cpu->period_us.value_or(0);
    container.burst_us = cpu->burst_us.value_or(0);
    container.cpus = cpu->cpus;
    container.mems = cpu->mems;
  }
  request.containers.push_back(container);
  return request;
}

}  // namespace cpu
