// IrqLine: one interrupt pin as its device sees it. Edge-triggered: a call is an edge, and edges
// may merge while the guest has not taken the first.
//
// Thread rule: thread-safe.
#pragma once

#include <cstdint>

#include "runtime/base/unique_fd.h"

namespace vmm {

class IrqLine {
 public:
  virtual ~IrqLine() = default;
  virtual void Trigger() = 0;
  // The eventfd whose every write is an edge, to hand to a vhost-user back end. Invalid in a fake.
  virtual base::BorrowedFd eventfd() = 0;
};

}  // namespace vmm
