#include "runtime/cpu/update.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "runtime/cpu/guest_nodes.h"
#include "runtime/cpu/guest_topology.h"

namespace cpu {
namespace {

// One place of the machine, and what becomes of it.
struct Place {
  VcpuPlan vcpu;
  bool runs = false;  // under the plan in force
  enum class Fate { kSpare, kPinned, kShared } fate = Fate::kSpare;
  uint32_t host_cpu = 0;  // if pinned
};

class Fitting {
 public:
  Fitting(const HostTopology& host, const Policy& policy, const CpuPlan& in_force, CpuPlan fresh,
          SharedVcpus shared)
      : host_(host), policy_(policy), in_force_(in_force), fresh_(std::move(fresh)) {
    for (const VcpuPlan& vcpu : in_force.vcpus) places_.push_back({vcpu, true});
    for (const VcpuPlan& vcpu : in_force.spare) places_.push_back({vcpu, false});
    std::sort(places_.begin(), places_.end(),
              [](const Place& a, const Place& b) { return a.vcpu.index < b.vcpu.index; });
    wanted_ = fresh_.Pinned();
    shared_ = fresh_.vcpus.size() - wanted_.size();
    if (shared == SharedVcpus::kNoFewer && wanted_.empty() && in_force.Pinned().empty()) {
      // R3: never more than CPUs.
      const size_t most = fresh_.cpus.empty() ? in_force.vcpus.size() : fresh_.cpus.size();
      shared_ = std::max(shared_, std::min(most, in_force.vcpus.size()));
    }
  }

  PlanUpdate Run() {
    KeepPins();
    KeepBootCpu();
    Share();
    while (!wanted_.empty()) Pin(wanted_.first());
    NoteInexact();
    return Result();
  }

 private:
  using Fate = Place::Fate;

  void Pin(Place& place, uint32_t host_cpu) {
    place.fate = Fate::kPinned;
    place.host_cpu = host_cpu;
    wanted_ = wanted_.Without(CpuSet{host_cpu});
  }

  void KeepPins() {
    for (Place& place : places_) {
      if (place.runs && place.vcpu.host_cpu && wanted_.Contains(*place.vcpu.host_cpu)) {
        Pin(place, *place.vcpu.host_cpu);
      }
    }
  }

  // Whether `place` at `host_cpu` stands to every pinned place as their host CPUs do.
  bool Fits(const Place& place, uint32_t host_cpu) const {
    const HostCpu& cpu = *host_.Find(host_cpu);
    for (const Place& other : places_) {
      if (&other == &place || other.fate != Fate::kPinned) continue;
      if (!SameRelation(place.vcpu, other.vcpu, cpu, *host_.Find(other.host_cpu), policy_.smt)) {
        return false;
      }
    }
    return true;
  }

  // Linux cannot take its boot CPU offline everywhere, and ids count from it.
  void KeepBootCpu() {
    Place& boot = places_.front();
    if (boot.fate != Fate::kSpare) return;
    if (fresh_.Pinned().empty() || (wanted_.empty() && shared_ > 0)) {
      boot.fate = Fate::kShared;
      --shared_;
    } else {
      // A CPU that nobody has yet, or one taken from another place, which then goes.
      const CpuSet candidates = wanted_.empty() ? fresh_.Pinned() : wanted_;
      uint32_t chosen = candidates.first();
      for (const uint32_t candidate : candidates) {
        Place* holder = PlaceAt(candidate);
        if (holder) holder->fate = Fate::kSpare;
        const bool fits = Fits(boot, candidate);
        if (holder) holder->fate = Fate::kPinned;
        if (!fits) continue;
        chosen = candidate;
        break;
      }
      if (Place* holder = PlaceAt(chosen)) holder->fate = Fate::kSpare;
      Pin(boot, chosen);
    }
    const CpuSet mask = boot.fate == Fate::kPinned ? CpuSet{boot.host_cpu} : SharedMask(fresh_);
    if (!boot.vcpu.host_cpu || mask.empty() || mask.Contains(*boot.vcpu.host_cpu)) return;
    fresh_.notes.push_back(
        {"boot_cpu_moved",
         fmt::format("the boot vCPU moves from CPU {} to {}: it is never unplugged",
                     *boot.vcpu.host_cpu, mask.ToString())});
  }

  Place* PlaceAt(uint32_t host_cpu) {
    for (Place& place : places_) {
      if (place.fate == Fate::kPinned && place.host_cpu == host_cpu) return &place;
    }
    return nullptr;
  }

  // vCPUs that share already, then others that run, then spare ones; a machine without CPUs of its
  // own takes the first ones.
  void Share() {
    const auto take = [&](auto suits) {
      for (Place& place : places_) {
        if (shared_ == 0) return;
        if (place.fate != Fate::kSpare || !suits(place)) continue;
        place.fate = Fate::kShared;
        --shared_;
      }
    };
    take([](const Place& place) { return place.runs && !place.vcpu.host_cpu; });
    if (wanted_.empty()) take([](const Place& place) { return place.runs; });
    take([](const Place& place) { return !place.runs && !place.vcpu.host_cpu; });
    take([](const Place& place) { return place.runs; });
    take([](const Place&) { return true; });
  }

  // In this order: a vCPU that would go and fits as it is; the place kept for this CPU; any place
  // that fits; any place at all.
  void Pin(uint32_t cpu) {
    const auto pin = [&](auto suits) {
      for (Place& place : places_) {
        if (place.fate != Fate::kSpare || !suits(place)) continue;
        Pin(place, cpu);
        return true;
      }
      return false;
    };
    if (pin([&](const Place& place) { return place.runs && Fits(place, cpu); })) return;
    if (pin([&](const Place& place) { return place.vcpu.host_cpu == cpu && Fits(place, cpu); })) {
      return;
    }
    if (pin([&](const Place& place) { return Fits(place, cpu); })) return;
    if (pin([](const Place& place) { return !place.runs; })) return;
    CHECK(pin([](const Place&) { return true; }));
  }

  void NoteInexact() {
    CpuSet added, stale;
    for (const Place& place : places_) {
      if (place.fate != Fate::kPinned || Fits(place, place.host_cpu)) continue;
      (place.runs ? stale : added).Insert(place.host_cpu);
    }
    if (!added.empty()) {
      fresh_.notes.push_back(
          {"coords_inexact", fmt::format("the vCPUs added for CPUs {} have places that do not "
                                         "mirror these CPUs: none was kept for them",
                                         added.ToString())});
    }
    // Each pair that is wrong has two ends; an added one has been named.
    if (!stale.empty() && added.empty()) {
      fresh_.notes.push_back(
          {"topology_stale", fmt::format("the guest's topology no longer mirrors CPUs {}: the "
                                         "CPUID of a running vCPU cannot change",
                                         stale.ToString())});
    }
  }

  PlanUpdate Result() {
    PlanUpdate update;
    CpuPlan& plan = update.plan = std::move(fresh_);
    const CpuSet shared = SharedMask(plan);
    plan.vcpus.clear();
    plan.spare.clear();
    plan.grow = CpuSet();
    for (Place& place : places_) {
      VcpuPlan vcpu = place.vcpu;
      const uint32_t index = vcpu.index;
      if (place.fate == Fate::kSpare) {
        if (place.runs) update.removed.push_back(index);
        if (vcpu.host_cpu) plan.grow.Insert(*vcpu.host_cpu);
        plan.spare.push_back(std::move(vcpu));
        continue;
      }
      const bool pinned = place.fate == Fate::kPinned;
      vcpu.host_cpu = pinned ? std::optional(place.host_cpu) : std::nullopt;
      vcpu.affinity = pinned ? CpuSet{place.host_cpu} : shared;
      if (!place.runs) {
        update.added.push_back(index);
      } else if (vcpu.affinity != place.vcpu.affinity) {
        update.moved.push_back(index);
      }
      plan.vcpus.push_back(std::move(vcpu));
    }
    plan.grow = plan.grow.Without(plan.Pinned());
    KeepNodes(plan);
    KeepNotes(update);
    return update;
  }

  // What became of places is still true while they stay what they are.
  void KeepNotes(PlanUpdate& update) const {
    const auto pins = [](const CpuPlan& plan) {
      std::map<uint32_t, std::optional<uint32_t>> by_index;
      for (const VcpuPlan& vcpu : plan.vcpus) by_index[vcpu.index] = vcpu.host_cpu;
      return by_index;
    };
    if (pins(update.plan) != pins(in_force_)) return;
    const auto of_places = [](const Note& note) {
      return note.code == "boot_cpu_moved" || note.code == "coords_inexact" ||
             note.code == "topology_stale";
    };
    std::vector<Note>& notes = update.plan.notes;
    notes.erase(std::remove_if(notes.begin(), notes.end(), of_places), notes.end());
    std::copy_if(in_force_.notes.begin(), in_force_.notes.end(), std::back_inserter(notes),
                 of_places);
  }

  static CpuSet SharedMask(const CpuPlan& plan) {
    for (const VcpuPlan& vcpu : plan.vcpus) {
      if (!vcpu.host_cpu) return vcpu.affinity;
    }
    return CpuSet();
  }

  // The guest's nodes and their RAM were made at boot; which host node stands behind one may
  // change.
  void KeepNodes(CpuPlan& plan) const {
    plan.memory_mib = in_force_.memory_mib;
    plan.nodes = in_force_.nodes;
    for (uint32_t node = 0; node < plan.nodes.size(); ++node) {
      CpuSet behind;
      for (const VcpuPlan& vcpu : plan.vcpus) {
        if (vcpu.node == node && vcpu.host_cpu) behind.Insert(host_.Find(*vcpu.host_cpu)->node);
      }
      if (behind.size() == 1) plan.nodes[node].host_node = behind.first();
      const uint32_t host_node = plan.nodes[node].host_node;
      plan.nodes[node].mems = plan.mems.Contains(host_node) ? CpuSet{host_node} : plan.mems;
    }
  }

  const HostTopology& host_;
  const Policy& policy_;
  const CpuPlan& in_force_;
  CpuPlan fresh_;
  std::vector<Place> places_;
  CpuSet wanted_;      // host CPUs that have no place yet
  size_t shared_ = 0;  // vCPUs to share that have no place yet
};

}  // namespace

base::Result<PlanUpdate> PlanAgain(const HostTopology& host, const CpuRequest& request,
                                   const Policy& policy, const CpuPlan& in_force,
                                   SharedVcpus shared) {
  const size_t room = in_force.vcpus.size() + in_force.spare.size();
  CpuPlan fresh = TRY(Plan(host, request, policy));
  if (fresh.vcpus.size() > room) {
    const size_t wanted = fresh.vcpus.size();
    Policy bounded = policy;
    bounded.max_vcpus = static_cast<uint32_t>(room);
    fresh = TRY(Plan(host, request, bounded), "the machine was made for {} vCPUs at most", room);
    fresh.notes.push_back(
        {"places_exhausted",
         fmt::format("{} vCPUs asked: the machine was made for {} at most", wanted, room)});
  }
  return Fitting(host, policy, in_force, std::move(fresh), shared).Run();
}

}  // namespace cpu
