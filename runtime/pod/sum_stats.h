// The figures of a pod: those of its containers, added up. Thread rule: reactor-bound.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/pod/pod.h"

namespace pod {

// Adds what adds up: usage and events, io by device. Limits and peaks do not. The guest's numbers
// may wrap.
void AddStats(const ContainerStats& from, ContainerStats& to);

// Asks for each of `ids` at once; `done` when all have answered, without those that failed.
void SumStats(const std::vector<std::string>& ids,
              const std::function<void(const std::string& id, StatsCallback one)>& ask,
              StatsCallback done);

}  // namespace pod
