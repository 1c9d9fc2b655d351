// The kernel's CPU list text, "0-3,7". Thread rule: pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace agent {

// In order. What is no list, or names a CPU above 4095, ends the answer.
std::vector<uint32_t> ParseCpuList(std::string_view text);

}  // namespace agent
