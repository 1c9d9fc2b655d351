// How many bytes of answers wait for each connection's client. Thread rule: a value. Internal to
// the room.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace grpc_transport {

class Backlog {
 public:
  // Counts `bytes` for `peer`; false, nothing being counted, if it would be more than
  // `limit_bytes`.
  bool Add(const std::string& peer, size_t bytes, size_t limit_bytes) {
    size_t& waiting = waiting_[peer];
    if (bytes > limit_bytes - waiting) return false;
    waiting += bytes;
    return true;
  }
  void Remove(const std::string& peer, size_t bytes) {
    const auto entry = waiting_.find(peer);
    if (entry == waiting_.end()) return;
    entry->second -= bytes;
    if (entry->second == 0) waiting_.erase(entry);
  }

 private:
  std::map<std::string, size_t> waiting_;  // at most the limit each
};

}  // namespace grpc_transport
