// Where the boxes of a machine's picture go: packages over dies over L3 over L2 over cores over
// threads. Internal to ctl. Thread rule: reentrant.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ctl {

// A CPU of the host or of the guest.
struct Unit {
  uint32_t package = 0, die = 0, l3 = 0, l2 = 0, core = 0, thread = 0, node = 0;
};

// In pixels, y downwards.
struct Box {
  double x = 0, y = 0, width = 0, height = 0;
  double right() const { return x + width; }
  double bottom() const { return y + height; }
};

struct Group {
  enum class Kind { kPackage, kDie, kL3, kL2, kCore } kind;
  Box box;
  std::string label;
  std::vector<size_t> units;
};

struct Layout {
  std::vector<Group> groups;  // outer ones first
  std::vector<Box> cells;     // one for each unit
  double width = 0, height = 0;
};

// At the origin. Small machines are one column, so that lines from CPU to CPU run straight; large
// ones become as wide as they must to stay about as high as a screen.
Layout Arrange(const std::vector<Unit>& units);

}  // namespace ctl
