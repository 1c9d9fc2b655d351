#include "runtime/ctl/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace ctl {
namespace {

constexpr double kCellWidth = 52, kCellHeight = 22, kThreadGap = 3;
constexpr double kCorePad = 4, kGroupPad = 8, kTitle = 16;
constexpr double kGap = 10;  // wide enough for lines between rows
constexpr double kScreen = 1000;

// Boxes that were placed at the origin and move together when their parent is placed.
struct Block {
  Layout layout;
  void Move(double dx, double dy) {
    for (Group& group : layout.groups) {
      group.box.x += dx;
      group.box.y += dy;
    }
    for (auto& [unit, box] : cells) {
      box.x += dx;
      box.y += dy;
    }
  }
  std::map<size_t, Box> cells;  // by unit
};

class Arranger {
 public:
  Arranger(const std::vector<Unit>& units, size_t core_columns, size_t l3_columns)
      : units_(units), core_columns_(core_columns), l3_columns_(l3_columns) {
    for (const Unit& unit : units) nodes_.insert(unit.node);
  }

  Layout Run() {
    std::vector<size_t> all(units_.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    Block machine =
        Grid(Blocks(all, &Unit::package, [&](const auto& part) { return Package(part); }), 1);
    machine.layout.cells.resize(units_.size());
    for (const auto& [unit, box] : machine.cells) machine.layout.cells[unit] = box;
    return std::move(machine.layout);
  }

 private:
  using Units = std::vector<size_t>;

  // One block for each value of `level` among `units`.
  template <class Make>
  std::vector<Block> Blocks(const Units& units, uint32_t Unit::*level, Make make) {
    std::map<uint32_t, Units> parts;
    for (const size_t unit : units) parts[units_[unit].*level].push_back(unit);
    std::vector<Block> blocks;
    for (const auto& [value, part] : parts) blocks.push_back(make(part));
    return blocks;
  }

  static Block Grid(std::vector<Block> blocks, size_t columns) {
    Block all;
    double y = 0;
    for (size_t first = 0; first < blocks.size(); first += columns) {
      const size_t end = std::min(first + columns, blocks.size());
      double x = 0, height = 0;
      for (size_t i = first; i < end; ++i) {
        Block& block = blocks[i];
        block.Move(x, y);
        x += block.layout.width + kGap;
        height = std::max(height, block.layout.height);
        all.layout.groups.insert(all.layout.groups.end(), block.layout.groups.begin(),
                                 block.layout.groups.end());
        all.cells.insert(block.cells.begin(), block.cells.end());
      }
      all.layout.width = std::max(all.layout.width, x - kGap);
      y += height + kGap;
    }
    all.layout.height = y - kGap;
    return all;
  }

  static Block Framed(Block inner, Group::Kind kind, std::string label, const Units& units) {
    const double pad = kind == Group::Kind::kCore ? kCorePad : kGroupPad;
    const double title = label.empty() ? 0 : kTitle;
    inner.Move(pad, pad + title);
    inner.layout.width += 2 * pad;
    inner.layout.height += 2 * pad + title;
    const double widest = static_cast<double>(label.size()) * 6.5 + 2 * pad;
    inner.layout.width = std::max(inner.layout.width, widest);
    inner.layout.groups.insert(
        inner.layout.groups.begin(),
        {kind, {0, 0, inner.layout.width, inner.layout.height}, std::move(label), units});
    return inner;
  }

  Block Package(const Units& units) {
    Block dies = Grid(Blocks(units, &Unit::die, [&](const auto& part) { return Die(part); }), 1);
    return Framed(std::move(dies), Group::Kind::kPackage,
                  fmt::format("package {}", units_[units[0]].package), units);
  }

  Block Die(const Units& units) {
    Block l3s =
        Grid(Blocks(units, &Unit::l3, [&](const auto& part) { return L3(part); }), l3_columns_);
    bool only = true;
    for (const Unit& unit : units_) only = only && unit.die == 0;
    if (only) return l3s;
    return Framed(std::move(l3s), Group::Kind::kDie, fmt::format("die {}", units_[units[0]].die),
                  units);
  }

  Block L3(const Units& units) {
    Block l2s =
        Grid(Blocks(units, &Unit::l2, [&](const auto& part) { return L2(part); }), core_columns_);
    std::string label = fmt::format("L3 {}", units_[units[0]].l3);
    std::set<uint32_t> nodes;
    for (const size_t unit : units) nodes.insert(units_[unit].node);
    if (nodes_.size() > 1) {
      for (const uint32_t node : nodes) label += fmt::format(" · node {}", node);
    }
    return Framed(std::move(l2s), Group::Kind::kL3, std::move(label), units);
  }

  // An L2 of one core needs no frame of its own.
  Block L2(const Units& units) {
    std::vector<Block> cores =
        Blocks(units, &Unit::core, [&](const auto& part) { return Core(part); });
    if (cores.size() == 1) return std::move(cores[0]);
    return Framed(Grid(std::move(cores), 4), Group::Kind::kL2,
                  fmt::format("L2 {}", units_[units[0]].l2), units);
  }

  Block Core(Units units) {
    std::sort(units.begin(), units.end(),
              [&](size_t a, size_t b) { return units_[a].thread < units_[b].thread; });
    Block core;
    double x = 0;
    for (const size_t unit : units) {
      core.cells[unit] = {x, 0, kCellWidth, kCellHeight};
      x += kCellWidth + kThreadGap;
    }
    core.layout.width = x - kThreadGap;
    core.layout.height = kCellHeight;
    return Framed(std::move(core), Group::Kind::kCore, "", units);
  }

  const std::vector<Unit>& units_;
  std::set<uint32_t> nodes_;
  size_t core_columns_, l3_columns_;
};

}  // namespace

Layout Arrange(const std::vector<Unit>& units) {
  constexpr size_t kColumns[][2] = {{1, 1}, {2, 1}, {2, 2}, {4, 1},  {4, 2},
                                    {4, 4}, {8, 2}, {8, 4}, {16, 2}, {16, 4}};
  Layout layout;
  for (const auto& [cores, l3s] : kColumns) {
    layout = Arranger(units, cores, l3s).Run();
    if (layout.height <= std::max(kScreen, 1.2 * layout.width)) break;
  }
  return layout;
}

}  // namespace ctl
