// What a container's cgroup has used. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

struct IoStats {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t rbytes = 0;
  uint64_t wbytes = 0;
  uint64_t rios = 0;
  uint64_t wios = 0;
};

struct CgroupStats {
  // "memory.current", "cpu.stat/usage_usec". What is "max", or missing, is absent.
  std::map<std::string, uint64_t> values;
  std::vector<IoStats> io;
};

// Never fails: what the kernel does not have is left out.
CgroupStats ReadCgroupStats(const std::string& path);

// io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …" a line.
std::vector<IoStats> ParseIoStat(std::string_view text);

}  // namespace agent
