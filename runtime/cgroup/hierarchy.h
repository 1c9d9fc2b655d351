// Which cgroup hierarchies this host has, where, and whether they can be written.
//
// Thread rule: values; Host() reads /proc/self/mountinfo.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cgroup {

struct Hierarchy {
  std::string mount_point;
  bool v2 = false;
  bool writable = false;
  // v1: what is mounted here, e.g. {"cpu", "cpuacct"}. v2: empty (cgroup.controllers tells).
  std::vector<std::string> controllers;
};

class Hierarchies {
 public:
  // No hierarchy at all if /proc is not readable: what follows from that is the caller's to say.
  static Hierarchies Host();
  // proc_pid_mountinfo(5). Lines that make no sense are passed over.
  static Hierarchies FromMountInfo(std::string_view text);

  // v1 wins where both are mounted (hybrid): a controller bound to v1 is not available in v2.
  // nullptr: not mounted, or read-only.
  const Hierarchy* V1(std::string_view controller) const;
  // nullptr if v1 has cpu or cpuset, or if there is no writable cgroup2.
  const Hierarchy* V2() const;
  // Of any kind, for error messages: "v1 (cpu, cpuset)", "v2", "none".
  std::string Describe() const;

  const std::vector<Hierarchy>& all() const { return all_; }

 private:
  std::vector<Hierarchy> all_;
};

}  // namespace cgroup
