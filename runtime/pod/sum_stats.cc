#include "runtime/pod/sum_stats.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

namespace pod {
namespace {

// Linux Documentation/admin-guide/cgroup-v2.rst: the files that hold a setting, or a maximum seen.
constexpr std::string_view kNotAdded[] = {".max", ".high", ".peak", ".weight"};

bool Adds(std::string_view name) {
  return std::none_of(std::begin(kNotAdded), std::end(kNotAdded),
                      [&](std::string_view suffix) { return name.ends_with(suffix); });
}

}  // namespace

void AddStats(const ContainerStats& from, ContainerStats& to) {
  for (const auto& [name, value] : from.values) {
    if (Adds(name)) to.values[name] += value;
  }
  for (const ContainerStats::Io& io : from.io) {
    const auto same = std::find_if(to.io.begin(), to.io.end(), [&](const auto& one) {
      return one.major == io.major && one.minor == io.minor;
    });
    if (same == to.io.end()) {
      to.io.push_back(io);
      continue;
    }
    same->rbytes += io.rbytes;
    same->wbytes += io.wbytes;
    same->rios += io.rios;
    same->wios += io.wios;
  }
}

void SumStats(const std::vector<std::string>& ids,
              const std::function<void(const std::string& id, StatsCallback one)>& ask,
              StatsCallback done) {
  struct Sum {
    ContainerStats stats;
    size_t waiting = 1;  // we, until all have been asked
    StatsCallback done;
  };
  const auto sum = std::make_shared<Sum>();
  sum->done = std::move(done);
  const auto answered = [sum](const base::Result<ContainerStats>& stats) {
    if (stats) AddStats(*stats, sum->stats);
    if (--sum->waiting == 0) sum->done(std::move(sum->stats));
  };
  for (const std::string& id : ids) {
    ++sum->waiting;
    ask(id, answered);
  }
  answered(ContainerStats());
}

}  // namespace pod
