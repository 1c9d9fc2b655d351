#include "runtime/ctl/picture.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "runtime/ctl/layout.h"

namespace ctl {
namespace {

constexpr double kMargin = 20, kHead = 34, kBetween = 170, kLine = 18;
// Of a letter of a bold title, and of a plain line; generous, for fonts differ.
constexpr double kTitleLetter = 8.8, kLetter = 6.6;

struct Colour {
  const char* stroke;
  const char* fill;
};
// A pinned vCPU and its CPU have one colour; neighbours differ.
constexpr Colour kPins[] = {{"#1f6fb4", "#cfe3f5"}, {"#c0392b", "#f6d5d1"}, {"#2c8c3c", "#d2ecd6"},
                            {"#7d52b0", "#e4d9f2"}, {"#8a5a3b", "#eadccf"}, {"#c2509f", "#f5d6ea"},
                            {"#128a94", "#cdecee"}, {"#7a7d12", "#ebecc8"}};
constexpr Colour kShared = {"#d48806", "#fdebc8"};
constexpr Colour kUnused = {"#c8c8c8", "#f0f0f0"};
constexpr const char* kHousekeeping = "#555555";

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// What one cell looks like.
struct Look {
  Colour colour = kUnused;
  std::string label, tip;
  bool used = false;
  bool later = false;         // dashed
  bool housekeeping = false;  // a bar below
};

class Drawing {
 public:
  Drawing(const cpu::HostTopology& host, const cpu::CpuPlan& plan) : host_(host), plan_(plan) {}

  std::string Run() {
    DescribeHost();
    DescribeGuest();
    const Layout host = Arrange(host_units_);
    const Layout guest = Arrange(guest_units_);
    const double guest_x =
        kMargin + std::max(host.width + kBetween, TitleWidth(HostTitle()) + kMargin);
    const double body = std::max(host.height, guest.height);
    // The smaller of the two stands in the middle of the other, but never far below the top.
    const double host_y = kMargin + kHead + std::min(120.0, (body - host.height) / 2);
    const double guest_y = kMargin + kHead + std::min(120.0, (body - guest.height) / 2);

    Head(kMargin, HostTitle(), guest_x, GuestTitle());
    Groups(host, kMargin, host_y);
    Groups(guest, guest_x, guest_y);
    SharedBands(host, {kMargin, host_y}, guest, {guest_x, guest_y});
    PinLines(host, {kMargin, host_y}, guest, {guest_x, guest_y});
    Cells(host, host_looks_, kMargin, host_y);
    Cells(guest, guest_looks_, guest_x, guest_y);
    double y = kMargin + kHead + body + 30;
    y = Legend(y);
    y = Facts(y + 8);
    const double width =
        std::max({guest_x + std::max(guest.width, TitleWidth(GuestTitle())), text_right_, 700.0}) +
        kMargin;
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"sans-serif\" font-size=\"12\">\n"
        "<title>{2}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{3}</svg>\n",
        width, y + kMargin, Escape(HostTitle() + "; " + GuestTitle()), svg_);
  }

 private:
  struct Point {
    double x, y;
  };

  template <class... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(svg_), format, std::forward<Args>(args)...);
    svg_ += '\n';
  }

  static Colour PinColour(uint32_t index) { return kPins[index % std::size(kPins)]; }
  // A machine that floats may use every CPU that no pod pins.
  bool MayShare(uint32_t cpu) const {
    for (const cpu::VcpuPlan& vcpu : plan_.vcpus) {
      if (!vcpu.host_cpu) return vcpu.affinity.empty() || vcpu.affinity.Contains(cpu);
    }
    return false;
  }

  void DescribeHost() {
    std::map<uint32_t, uint32_t> vcpu_of;
    for (const cpu::VcpuPlan& vcpu : plan_.vcpus) {
      if (vcpu.host_cpu) vcpu_of[*vcpu.host_cpu] = vcpu.index;
    }
    for (const cpu::HostCpu& cpu : host_.cpus) {
      host_units_.push_back({cpu.package, cpu.die, cpu.l3, cpu.l2, cpu.core, cpu.thread, cpu.node});
      Look look{.label = fmt::format("CPU {}", cpu.id)};
      look.tip = fmt::format("host CPU {}: package {}, die {}, core {}, thread {}, node {}{}",
                             cpu.id, cpu.package, cpu.die, cpu.core, cpu.thread, cpu.node,
                             cpu.isolated ? ", isolated" : "");
      look.housekeeping = plan_.housekeeping.Contains(cpu.id);
      look.later = plan_.grow.Contains(cpu.id);
      if (const auto found = vcpu_of.find(cpu.id); found != vcpu_of.end()) {
        look.colour = PinColour(found->second);
        look.used = true;
        look.tip += fmt::format("; runs vCPU {} and no other", found->second);
      } else if (MayShare(cpu.id)) {
        look.colour = kShared;
        look.used = true;
      }
      host_looks_.push_back(std::move(look));
    }
  }

  void DescribeGuest() {
    for (const auto* vcpus : {&plan_.vcpus, &plan_.spare}) {
      for (const cpu::VcpuPlan& vcpu : *vcpus) {
        guest_units_.push_back(
            {vcpu.package, vcpu.die, vcpu.l3, vcpu.l2, vcpu.core, vcpu.thread, vcpu.node});
        Look look{.label = fmt::format("vCPU {}", vcpu.index)};
        look.tip = fmt::format("vCPU {}: id {}, package {}, die {}, core {}, thread {}, node {}",
                               vcpu.index, vcpu.id, vcpu.package, vcpu.die, vcpu.core, vcpu.thread,
                               vcpu.node);
        look.later = vcpus == &plan_.spare;
        if (!look.later) {
          look.colour = vcpu.host_cpu ? PinColour(vcpu.index) : kShared;
          look.used = true;
          look.tip += vcpu.host_cpu ? fmt::format("; pinned to CPU {}", *vcpu.host_cpu) : "";
        }
        guest_looks_.push_back(std::move(look));
      }
    }
  }

  static std::string Counted(size_t count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
  }
  template <class Cpus>
  static std::string Size(const Cpus& cpus, const char* what) {
    std::set<uint32_t> packages;
    std::set<std::pair<uint32_t, uint32_t>> cores;
    for (const auto& cpu : cpus) {
      packages.insert(cpu.package);
      cores.insert({cpu.package, cpu.core});
    }
    return fmt::format("{}, {}, {}", Counted(packages.size(), "package"),
                       Counted(cores.size(), "core"), Counted(cpus.size(), what));
  }
  std::string HostTitle() const { return "Host: " + Size(host_.cpus, "CPU"); }
  std::string GuestTitle() const {
    return fmt::format("Guest, {}: {}", cpu::ModeName(plan_.mode), Size(plan_.vcpus, "vCPU"));
  }

  void Head(double host_x, const std::string& host, double guest_x, const std::string& guest) {
    for (const auto& [x, title] : {std::pair(host_x, &host), std::pair(guest_x, &guest)}) {
      Add("<text x=\"{:.0f}\" y=\"{:.0f}\" font-size=\"15\" font-weight=\"bold\">{}</text>", x,
          kMargin + 14, Escape(*title));
    }
  }
  static double TitleWidth(const std::string& title) {
    return kTitleLetter * static_cast<double>(title.size());
  }

  void Groups(const Layout& layout, double x, double y) {
    for (const Group& group : layout.groups) {
      const Box& box = group.box;
      const char* fill = "none";
      const char* stroke = "#9a9a9a";
      if (group.kind == Group::Kind::kPackage) fill = "#fafafa", stroke = "#6b6b6b";
      if (group.kind == Group::Kind::kL3) fill = "#ffffff", stroke = "#b5c4d6";
      if (group.kind == Group::Kind::kL2) stroke = "#b9d0b9";
      if (group.kind == Group::Kind::kCore) fill = "#ffffff", stroke = "#d5d5d5";
      Add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"5\" "
          "fill=\"{}\" stroke=\"{}\"/>",
          x + box.x, y + box.y, box.width, box.height, fill, stroke);
      if (group.label.empty()) continue;
      Add("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"11\" fill=\"#555\">{}</text>", x + box.x + 8,
          y + box.y + 15, group.label);
    }
  }

  void Cells(const Layout& layout, const std::vector<Look>& looks, double x, double y) {
    for (size_t i = 0; i < looks.size(); ++i) {
      const Look& look = looks[i];
      const Box& box = layout.cells[i];
      Add("<g><title>{}</title><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" "
          "rx=\"3\" fill=\"{}\" stroke=\"{}\" stroke-width=\"{}\"{}/>",
          Escape(look.tip), x + box.x, y + box.y, box.width, box.height, look.colour.fill,
          look.later ? "#1f6fb4" : look.colour.stroke, look.used ? "1.8" : "1",
          look.later ? " stroke-dasharray=\"4 2\"" : "");
      if (look.housekeeping) {
        Add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"2.5\" fill=\"{}\"/>",
            x + box.x + 6, y + box.bottom() - 4, box.width - 12, kHousekeeping);
      }
      Add("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\" font-size=\"11\"{}>{}</text></g>",
          x + box.x + box.width / 2, y + box.y + 14,
          look.used ? " font-weight=\"bold\" fill=\"#222\"" : " fill=\"#8a8a8a\"", look.label);
    }
  }

  // From beside a cell: a cell with a neighbour in the way goes through the gap between rows.
  // `below`: on the host; the guest's lines come from above, so that the two never lie together.
  static Point Way(const Layout& layout, const std::vector<Unit>& units, size_t cell, bool host) {
    const Box& box = layout.cells[cell];
    size_t in_the_way = 0;
    for (size_t i = 0; i < units.size(); ++i) {
      const Box& other = layout.cells[i];
      if (other.y != box.y) continue;
      in_the_way += host ? other.x > box.x : other.x < box.x;
    }
    if (in_the_way == 0) return {host ? box.right() : box.x, box.y + box.height / 2};
    const double offset = 2.0 + 1.5 * static_cast<double>(std::min<size_t>(in_the_way, 6));
    return {box.x + box.width / 2, host ? box.bottom() + offset : box.y - offset};
  }

  void PinLines(const Layout& host, Point host_at, const Layout& guest, Point guest_at) {
    std::map<uint32_t, size_t> cell_of;
    for (size_t i = 0; i < host_.cpus.size(); ++i) cell_of[host_.cpus[i].id] = i;
    const double from_x = host_at.x + host.width, to_x = guest_at.x;
    const double middle = (from_x + to_x) / 2;
    for (size_t i = 0; i < plan_.vcpus.size(); ++i) {
      const cpu::VcpuPlan& vcpu = plan_.vcpus[i];
      if (!vcpu.host_cpu) continue;
      const size_t cell = cell_of.at(*vcpu.host_cpu);
      const Point from = Way(host, host_units_, cell, true);
      const Point to = Way(guest, guest_units_, i, false);
      const Box& host_cell = host.cells[cell];
      const Box& guest_cell = guest.cells[i];
      const double y1 = host_at.y + from.y, y2 = guest_at.y + to.y;
      Add("<path d=\"M{:.1f} {:.1f} L{:.1f} {:.1f} H{:.1f} C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} "
          "{:.1f} H{:.1f} L{:.1f} {:.1f}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\" "
          "stroke-opacity=\"0.85\"/>",
          host_at.x + from.x, host_at.y + std::min(from.y, host_cell.bottom()), host_at.x + from.x,
          y1, from_x, middle, y1, middle, y2, to_x, y2, guest_at.x + to.x, guest_at.x + to.x,
          guest_at.y + std::max(to.y, guest_cell.y), PinColour(vcpu.index).stroke);
    }
  }

  // From each package where the shared vCPUs may run to the edge beside them: which of its CPUs
  // they are the colours say, and lines from each L3 would cover what lies between.
  void SharedBands(const Layout& host, Point host_at, const Layout& guest, Point guest_at) {
    for (const Group& from : host.groups) {
      if (from.kind != Group::Kind::kPackage || !Holds(from, host_looks_)) continue;
      for (const Group& to : guest.groups) {
        if (to.kind != Group::Kind::kL3 || !Holds(to, guest_looks_)) continue;
        const double x1 = host_at.x + from.box.right(), x2 = guest_at.x;
        const double y1 = host_at.y + from.box.y + from.box.height / 2;
        const double y2 = guest_at.y + to.box.y + to.box.height / 2;
        Add("<path d=\"M{:.1f} {:.1f} C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}\" fill=\"none\" "
            "stroke=\"{}\" stroke-width=\"5\" stroke-opacity=\"0.35\"/>",
            x1, y1, (x1 + x2) / 2, y1, (x1 + x2) / 2, y2, x2, y2, kShared.stroke);
      }
    }
  }

  static bool Holds(const Group& group, const std::vector<Look>& looks) {
    return std::any_of(group.units.begin(), group.units.end(),
                       [&](size_t i) { return looks[i].colour.fill == kShared.fill; });
  }

  double Legend(double y) {
    double x = kMargin;
    const auto entry = [&](const Colour& colour, const char* extra, bool bar, const char* text) {
      Add("<rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"22\" height=\"14\" rx=\"3\" fill=\"{}\" "
          "stroke=\"{}\"{}/>",
          x, y - 11, colour.fill, colour.stroke, extra);
      if (bar) {
        Add("<rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"16\" height=\"2.5\" fill=\"{}\"/>", x + 3,
            y - 1, kHousekeeping);
      }
      Add("<text x=\"{:.0f}\" y=\"{:.0f}\" fill=\"#333\">{}</text>", x + 28, y, text);
      x += 48 + kLetter * static_cast<double>(std::string_view(text).size());
      text_right_ = std::max(text_right_, x);
    };
    const bool pinned = !plan_.Pinned().empty();
    const bool shared = plan_.Pinned().size() < plan_.vcpus.size();
    if (pinned) entry(kPins[0], "", false, "pinned: a vCPU and its CPU");
    if (shared) entry(kShared, "", false, "shared vCPUs and where they may run");
    if (!plan_.grow.empty())
      entry({"#1f6fb4", "#f0f0f0"}, " stroke-dasharray=\"4 2\"", false, "may come later");
    entry(kUnused, "", true, "VMM threads");
    entry(kUnused, "", false, "not the guest's");
    return y + kLine;
  }

  double Facts(double y) {
    const auto line = [&](const std::string& text) {
      Add("<text x=\"{:.0f}\" y=\"{:.0f}\" fill=\"#333\">{}</text>", kMargin, y, Escape(text));
      y += kLine;
    };
    if (OwnL2s()) line("caches: an L2 in each core; an L3 is a frame of that name");
    line(plan_.cpu_max ? fmt::format("CPU limit: {} µs in {} µs", plan_.cpu_max->quota_us,
                                     plan_.cpu_max->period_us)
                       : "CPU limit: none");
    line(fmt::format("memory: {} MiB{}", plan_.memory_mib,
                     plan_.mems.empty() ? "" : " from node " + plan_.mems.ToString()));
    for (const cpu::Note& note : plan_.notes) line("note: " + note.text);
    return y;
  }

  // Otherwise each L2 has a frame.
  bool OwnL2s() const {
    std::map<uint32_t, std::pair<uint32_t, uint32_t>> core_of;
    for (const cpu::HostCpu& cpu : host_.cpus) {
      const std::pair core(cpu.package, cpu.core);
      if (core_of.emplace(cpu.l2, core).first->second != core) return false;
    }
    return true;
  }

  const cpu::HostTopology& host_;
  const cpu::CpuPlan& plan_;
  double text_right_ = 0;
  std::vector<Unit> host_units_, guest_units_;
  std::vector<Look> host_looks_, guest_looks_;
  std::string svg_;
};

}  // namespace

std::string Picture(const cpu::HostTopology& host, const cpu::CpuPlan& plan) {
  return Drawing(host, plan).Run();
}

}  // namespace ctl
