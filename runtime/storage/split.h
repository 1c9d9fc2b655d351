// Thread rule: a pure function.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace storage {

// One part more than there are separators.
inline std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace storage
