#include "runtime/agent/cpu_list.h"

#include <charconv>

namespace agent {

std::vector<uint32_t> ParseCpuList(std::string_view text) {
  constexpr uint32_t kHighest = 4095;
  std::vector<uint32_t> cpus;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    uint32_t first = 0;
    auto parsed = std::from_chars(at, end, first);
    if (parsed.ec != std::errc() || first > kHighest) return cpus;
    uint32_t last = first;
    if (parsed.ptr != end && *parsed.ptr == '-') {
      parsed = std::from_chars(parsed.ptr + 1, end, last);
      if (parsed.ec != std::errc() || last > kHighest) return cpus;
    }
    for (uint32_t cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    if (parsed.ptr == end || *parsed.ptr != ',') return cpus;
    at = parsed.ptr + 1;
  }
  return cpus;
}

}  // namespace agent
