#include "runtime/cgroup/cgroup_path.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "runtime/base/log.h"

namespace cgroup {
namespace {

using base::Code;

constexpr size_t kMaxName = 255;  // NAME_MAX
constexpr size_t kMaxPath = 2048;

base::Error Refused(std::string_view path, std::string_view rule) {
  return base::MakeError(
      Code::kInvalidArgument,
      "linux.cgroupsPath: \"{}\": {} (OCI runtime-spec 1.2, config-linux.md \"Cgroups Path\")",
      base::Escaped(path, 256), rule);
}

// systemd.slice(5): "foo-bar.slice" lies in "foo.slice"; "-.slice" is the root.
base::Result<std::string> ExpandSlice(std::string_view whole, std::string_view slice) {
  constexpr std::string_view kSuffix = ".slice";
  if (slice == "-.slice") return std::string();
  if (!slice.ends_with(kSuffix) || slice.size() == kSuffix.size()) {
    return Refused(whole, "the slice's name must end in .slice");
  }
  const std::string_view stem = slice.substr(0, slice.size() - kSuffix.size());
  std::string path;
  for (size_t at = 0; at <= stem.size(); ++at) {
    if (at < stem.size() && stem[at] != '-') continue;
    if (at == 0 || stem[at - 1] == '-') return Refused(whole, "an empty part in the slice's name");
    path += fmt::format("/{}{}", stem.substr(0, at), kSuffix);
  }
  return path;
}

// A colon is legal in a path, so only the exact form without a leading slash is systemd's.
bool HasSystemdForm(std::string_view text) {
  return std::count(text.begin(), text.end(), ':') == 2 && !text.starts_with('/');
}

base::Result<ScopeUnit> ParseSystemd(std::string_view whole) {
  const size_t first = whole.find(':');
  const size_t second = whole.find(':', first + 1);
  const std::string_view slice = whole.substr(0, first);
  const std::string_view prefix = whole.substr(first + 1, second - first - 1);
  const std::string_view name = whole.substr(second + 1);
  if (name.empty()) return Refused(whole, "must be slice:prefix:name");
  if (whole.find('/') != std::string_view::npos) return Refused(whole, "a / in a unit's name");
  return ScopeUnit{
      std::string(slice.empty() ? "system.slice" : slice),
      prefix.empty() ? fmt::format("{}.scope", name) : fmt::format("{}-{}.scope", prefix, name)};
}

// Checks every component and drops what "/" repeated or "." would add.
base::Result<std::string> Normalised(std::string_view whole) {
  std::string path;
  std::string_view rest = whole;
  while (!rest.empty()) {
    const size_t slash = rest.find('/');
    const std::string_view name = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") return Refused(whole, "must not contain ..");
    if (name.size() > kMaxName) return Refused(whole, "a name of more than 255 bytes");
    if (name.find('\0') != std::string_view::npos || name.find('\n') != std::string_view::npos) {
      return Refused(whole, "a line break or NUL byte");
    }
    path += '/';
    path += name;
  }
  if (path.empty()) return Refused(whole, "the root cgroup cannot be a container's");
  if (path.size() > kMaxPath) return Refused(whole, "longer than 2048 bytes");
  return path;
}

}  // namespace

base::Result<std::string> ResolvePath(const std::string& cgroups_path, const std::string& pod_id) {
  if (cgroups_path.empty()) {
    if (pod_id.find('/') != std::string::npos) return Refused(pod_id, "a / in the pod's id");
    return Normalised("/pinion/" + pod_id);
  }
  if (!HasSystemdForm(cgroups_path)) return Normalised(cgroups_path);
  const ScopeUnit unit = TRY(ParseSystemd(cgroups_path));
  const std::string slice = TRY(ExpandSlice(cgroups_path, unit.slice));
  return Normalised(slice + "/" + unit.name);
}

base::Result<std::string> PathOnRecord(const std::string& cgroups_path, const std::string& pod_id) {
  std::string path = TRY(ResolvePath(cgroups_path, pod_id));
  return HasSystemdForm(cgroups_path) ? cgroups_path : std::move(path);
}

std::optional<ScopeUnit> SystemdScopeOf(const std::string& cgroups_path) {
  if (!HasSystemdForm(cgroups_path) || !ResolvePath(cgroups_path, "")) return std::nullopt;
  base::Result<ScopeUnit> unit = ParseSystemd(cgroups_path);
  if (!unit) return std::nullopt;
  return std::move(*unit);
}

}  // namespace cgroup
