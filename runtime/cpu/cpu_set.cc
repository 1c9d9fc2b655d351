#include "runtime/cpu/cpu_set.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "runtime/base/log.h"

namespace cpu {
namespace {

std::optional<uint32_t> ParseNumber(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return {};
  return value;
}

base::Error Malformed(std::string_view whole, std::string_view part, std::string_view rule) {
  return base::MakeError(base::Code::kInvalidArgument, "CPU list \"{}\": \"{}\" {} (cpuset(7))",
                         base::Escaped(whole, 256), base::Escaped(part, 64), rule);
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

}  // namespace

CpuSet::CpuSet(std::initializer_list<uint32_t> cpus) {
  for (const uint32_t cpu : cpus) Insert(cpu);
}

base::Result<CpuSet> CpuSet::Parse(std::string_view text) {
  struct Range {
    uint32_t first, last;
  };
  std::vector<Range> ranges;
  bool ascending = true;
  const std::string_view whole = Trimmed(text);
  std::string_view rest = whole;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    if (comma == rest.size() - 1) return Malformed(whole, rest, "ends with a comma");
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);

    const size_t dash = part.find('-');
    const auto first = ParseNumber(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : ParseNumber(part.substr(dash + 1));
    if (!first || !last) return Malformed(whole, part, "is neither a number nor a range");
    if (*first > *last) return Malformed(whole, part, "is a range that runs backwards");
    if (*last >= kMaxCpus) return Malformed(whole, part, "is beyond the largest number, 8191");
    ascending = ascending && (ranges.empty() || ranges.back().last < *first);
    ranges.push_back({*first, *last});
  }
  CpuSet set;
  if (ascending) {  // as every kernel writes them
    for (const Range& range : ranges) {
      for (uint32_t cpu = range.first; cpu <= range.last; ++cpu) set.cpus_.push_back(cpu);
    }
    return set;
  }
  // Ranges may repeat each other: what they cost is bounded by kMaxCpus, not by their sum.
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  uint32_t next = 0;
  for (const Range& range : ranges) {
    for (next = std::max(next, range.first); next <= range.last; ++next) set.cpus_.push_back(next);
  }
  return set;
}

std::string CpuSet::ToString() const {
  std::string text;
  for (size_t i = 0; i < cpus_.size();) {
    size_t last = i;
    while (last + 1 < cpus_.size() && cpus_[last + 1] == cpus_[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(cpus_[i]);
    if (last > i) text += '-' + std::to_string(cpus_[last]);
    i = last + 1;
  }
  return text;
}

void CpuSet::Insert(uint32_t cpu) {
  const auto at = std::lower_bound(cpus_.begin(), cpus_.end(), cpu);
  if (at == cpus_.end() || *at != cpu) cpus_.insert(at, cpu);
}

bool CpuSet::Contains(uint32_t cpu) const {
  return std::binary_search(cpus_.begin(), cpus_.end(), cpu);
}

bool CpuSet::ContainsAll(const CpuSet& other) const {
  return std::includes(cpus_.begin(), cpus_.end(), other.cpus_.begin(), other.cpus_.end());
}

CpuSet CpuSet::Intersection(const CpuSet& other) const {
  CpuSet result;
  std::set_intersection(cpus_.begin(), cpus_.end(), other.cpus_.begin(), other.cpus_.end(),
                        std::back_inserter(result.cpus_));
  return result;
}

CpuSet CpuSet::Union(const CpuSet& other) const {
  CpuSet result;
  std::set_union(cpus_.begin(), cpus_.end(), other.cpus_.begin(), other.cpus_.end(),
                 std::back_inserter(result.cpus_));
  return result;
}

CpuSet CpuSet::Without(const CpuSet& other) const {
  CpuSet result;
  std::set_difference(cpus_.begin(), cpus_.end(), other.cpus_.begin(), other.cpus_.end(),
                      std::back_inserter(result.cpus_));
  return result;
}

}  // namespace cpu
