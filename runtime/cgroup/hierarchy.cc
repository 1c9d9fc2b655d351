#include "runtime/cgroup/hierarchy.h"

#include <algorithm>
#include <array>

#include "runtime/base/file.h"

namespace cgroup {
namespace {

constexpr size_t kMaxMountInfoBytes = 16 << 20;  // nodes with thousands of pods

// Super options of a v1 mount name its controllers among others.
constexpr std::array<std::string_view, 14> kV1Controllers = {
    "cpu",  "cpuacct", "cpuset",  "memory",   "devices",    "freezer", "blkio",
    "pids", "hugetlb", "net_cls", "net_prio", "perf_event", "rdma",    "misc"};

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

bool Has(const std::vector<std::string_view>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// "id parent major:minor root mount_point options optional… - type source super_options"
bool ReadLine(std::string_view line, Hierarchy& out) {
  const size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return false;
  const auto before = Split(line.substr(0, dash), ' ');
  const auto after = Split(line.substr(dash + 3), ' ');
  if (before.size() < 6 || after.size() < 3) return false;
  if (after[0] != "cgroup" && after[0] != "cgroup2") return false;

  const auto options = Split(before[5], ',');
  const auto super_options = Split(after[2], ',');
  out.mount_point = std::string(before[4]);
  out.v2 = after[0] == "cgroup2";
  out.writable = !Has(options, "ro") && !Has(super_options, "ro");
  for (const std::string_view controller : kV1Controllers) {
    if (!out.v2 && Has(super_options, controller)) out.controllers.emplace_back(controller);
  }
  return true;
}

}  // namespace

Hierarchies Hierarchies::Host() {
  const auto text = base::ReadFile("/proc/self/mountinfo", kMaxMountInfoBytes);
  return text ? FromMountInfo(*text) : Hierarchies();
}

Hierarchies Hierarchies::FromMountInfo(std::string_view text) {
  Hierarchies result;
  for (const std::string_view line : Split(text, '\n')) {
    Hierarchy hierarchy;
    if (ReadLine(line, hierarchy)) result.all_.push_back(std::move(hierarchy));
  }
  return result;
}

const Hierarchy* Hierarchies::V1(std::string_view controller) const {
  for (const Hierarchy& hierarchy : all_) {
    if (hierarchy.v2 || !hierarchy.writable) continue;
    for (const std::string& candidate : hierarchy.controllers) {
      if (candidate == controller) return &hierarchy;
    }
  }
  return nullptr;
}

const Hierarchy* Hierarchies::V2() const {
  if (V1("cpu") || V1("cpuset")) return nullptr;
  for (const Hierarchy& hierarchy : all_) {
    if (hierarchy.v2 && hierarchy.writable) return &hierarchy;
  }
  return nullptr;
}

std::string Hierarchies::Describe() const {
  std::string text;
  for (const Hierarchy& hierarchy : all_) {
    if (!hierarchy.v2 && hierarchy.controllers.empty()) continue;  // name=systemd
    if (!text.empty()) text += "; ";
    text += hierarchy.v2 ? "v2" : "v1";
    for (const std::string& controller : hierarchy.controllers) text += ' ' + controller;
    text += " at " + hierarchy.mount_point;
    if (!hierarchy.writable) text += " (read-only)";
  }
  return text.empty() ? "none" : text;
}

}  // namespace cgroup
