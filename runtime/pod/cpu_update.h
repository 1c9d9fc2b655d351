// CpuUpdate: changes of a running machine's CPUs, one at a time, in the order they were asked for.
//
//   plan ─► admit ─► add ─► online ─► containers ─► offline ─► remove ─► commit ─► done
//             ▲        │       │          │            │          │         │
//             └────────┴───────┴──────────┴────────────┴──────────┴─────────┘
//               failed: once more the same way, to the plan that was in force
//
// On the way back a step that fails is told, and the next one is tried all the same.
//
// The vmm's answer may never come: after a while the change counts as failed. One that comes later
// is put right by a change of its own.
//
// Thread rule: reactor-bound. Ownership: what it acts with is borrowed; destroying it drops
// callbacks.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/pod/placement.h"

namespace pod {

// What an update acts with: vmm, agent and host. Each `done` is called once, later.
class CpuActions {
 public:
  using Done = std::function<void(base::Result<void>)>;
  using Indices = std::vector<uint32_t>;
  using CpusDone = std::function<void(base::Result<void>, Indices)>;

  virtual ~CpuActions() = default;
  virtual void Replan(const PlanChange& change,
                      std::function<void(base::Result<Placement::Change>)> done) = 0;
  virtual void Admit(const cpu::CpuPlan& from, const cpu::CpuPlan& to, Done done) = 0;
  virtual void Commit(const PodPlan& plan, Done done) = 0;
  virtual void Follow(Done done) = 0;
  virtual void AddCpus(const Indices& indices, CpusDone done) = 0;
  virtual void RemoveCpus(const Indices& indices, CpusDone done) = 0;
  virtual void OnlineCpus(const Indices& indices, Done done) = 0;
  virtual void OfflineCpus(const Indices& indices, Done done) = 0;
  // kNotFound: the guest has no such container (any more), which then needs no CPUs.
  virtual void Confine(const std::string& container, const cpu::GuestCpuset& cpuset, Done done) = 0;
};

class CpuUpdate {
 public:
  using Done = CpuActions::Done;
  struct Request {
    PlanChange change;
    // What the change is for, in the guest, between the coming of vCPUs and the going of others:
    // the creation of a container, or its update. May be empty.
    std::function<void(const cpu::GuestCpuset& cpuset, Done done)> in_guest;
    // With the first error; what could not be undone is said there too. May be empty.
    Done done;
  };

  // `vcpus` boot. `vmm_timeout`: how long the guest may take over a vCPU that comes or goes.
  CpuUpdate(base::EventLoop& loop, CpuActions& actions, size_t vcpus,
            std::chrono::nanoseconds vmm_timeout);
  CpuUpdate(const CpuUpdate&) = delete;
  CpuUpdate& operator=(const CpuUpdate&) = delete;

  void Ask(Request request);
  // Other pods' pins, or the host's CPUs, have changed.
  void Follow();
  // The machine has ended: everything that waits fails with kUnavailable and `why`.
  void End(const std::string& why);

 private:
  enum class Stage {
    kAdmit,
    kAdd,
    kOnline,
    kContainers,
    kInGuest,
    kOffline,
    kRemove,
    kCommit,
    kFinished
  };
  struct Job {
    Request request;
    bool follows = false;
  };

  void Next();
  void Enter(Stage stage);
  void Run();
  void OnReplanned(base::Result<Placement::Change> change);
  void ConfineNext();
  void CallInGuest();
  void ChangeCpus(bool adds, const CpuActions::Indices& indices);
  void OnCpusChanged(uint64_t call, bool adds, base::Result<void> result,
                     const CpuActions::Indices& cpus);
  // The end of a stage.
  void Settle(base::Result<void> result);
  Done Settler();
  void Finish();
  const PodPlan& target() const { return going_back_ ? change_.before : change_.after; }
  const PodPlan& other() const { return going_back_ ? change_.after : change_.before; }
  CpuActions::Indices Missing(const std::set<uint32_t>& from) const;
  CpuActions::Indices Extra(const std::set<uint32_t>& from) const;

  base::EventLoop& loop_;
  CpuActions& actions_;
  const std::chrono::nanoseconds vmm_timeout_;
  std::set<uint32_t> there_;                          // vCPUs that the vmm says are there
  std::set<uint32_t> online_;                         // those that the guest has online
  std::map<std::string, cpu::GuestCpuset> confined_;  // what the guest was told
  std::deque<Job> jobs_;                              // the first one runs
  bool running_ = false;
  bool ended_ = false;
  bool going_back_ = false;
  bool unchanged_ = false;  // neither plan nor machine: only the guest is asked
  Stage stage_ = Stage::kFinished;
  Placement::Change change_;
  std::optional<base::Error> error_;
  std::string not_undone_;
  uint64_t calls_ = 0;      // to the vmm
  uint64_t waits_for_ = 0;  // the call whose answer is waited for; 0: none
  base::Timer patience_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace pod
