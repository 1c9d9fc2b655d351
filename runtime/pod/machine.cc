#include "runtime/pod/machine.h"

#include <fcntl.h>
#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "agent-proto/proto/vmm_control.pb.h"
#include "agent-proto/stream/ports.h"
#include "runtime/base/file.h"
#include "runtime/base/log.h"
#include "runtime/base/process_tree.h"

namespace pod {
namespace {

using base::Code;
using base::MakeError;
namespace v1 = pinion::vmm::v1;

// Names nobody outside the guest: the vsock ends in a socketpair per connection.
constexpr uint64_t kGuestCid = 3;
constexpr const char* kShareTag = "pinion";
constexpr std::chrono::seconds kLastWords{2};

// Indices of Configure's descriptors.
enum : int32_t { kKernel, kInitrd, kConsole, kFs, kFirstTap };
static_assert(kFirstTap + network::kMaxCards <= kMaxControlFds);

// Places in Configure's devices: file server, vsock and rng come first.
constexpr uint32_t kFirstCard = 3;

base::Result<base::UniqueFd> OpenKvm() {
  return TRY(base::Open("/dev/kvm", O_RDWR),
             "KVM cannot be used (is there vmx or svm, and the module kvm_intel or kvm_amd?)");
}

base::Result<std::string> RandomToken() {
  std::string token(16, '\0');
  if (getrandom(token.data(), token.size(), 0) != static_cast<ssize_t>(token.size())) {
    return base::ErrnoError("getrandom");
  }
  return token;
}

void FillNet(const network::Card& card, int32_t fd, v1::Net* net) {
  net->set_fd(fd);
  net->set_mac(card.link.mac.data(), card.link.mac.size());
  net->set_mtu(card.link.mtu);
}

}  // namespace

std::optional<int32_t> HighestOomScore(const std::map<pid_t, int32_t>& by_anchor) {
  std::optional<int32_t> highest;
  for (const auto& [anchor, score] : by_anchor) highest = std::max(highest.value_or(score), score);
  return highest;
}

void SetOomScore(pid_t pid, int32_t score) {
  const base::Result<void> written =
      base::WriteFile(fmt::format("/proc/{}/oom_score_adj", pid), std::to_string(score));
  if (!written) LOG_INFO("oomScoreAdj {}: {}", score, written.error().Message());
}

Machine::Machine(base::EventLoop& loop, Worker& worker, MachineOptions options, Events events)
    : loop_(loop), worker_(worker), options_(std::move(options)), events_(std::move(events)) {}

Machine::~Machine() = default;

void Machine::Boot(std::function<void(base::Result<void>)> done) {
  state_ = State::kBooting;
  booting_since_ = std::chrono::steady_clock::now();
  boot_done_ = std::move(done);
  base::Result<void> spawned = Spawn();
  if (spawned) spawned = SendCreateVm();
  if (!spawned) FailBoot(std::move(spawned.error()));
}

base::Result<void> Machine::Spawn() {
  console_ = TRY(ConsoleLog::Create(loop_, options_.state_directory + "/console.log"));
  stream_token_ = TRY(RandomToken());
  streams_ = std::make_unique<StreamAcceptor>(
      loop_, stream_token_, [this](GuestStream stream) { events_.on_stream(std::move(stream)); });
  virtiofsd_ =
      TRY(Virtiofsd::Start(loop_, options_.virtiofsd, options_.share, options_.state_directory,
                           // It also ends because the vmm did, which then says why.
                           [this](std::string why) { KillSoon(std::move(why)); }),
          "file server");
  TRY(options_.on_process("virtiofsd", virtiofsd_->pid()));
  vmm_ = TRY(VmmProcess::Spawn(
      loop_, {.program = options_.vmm_program, .uid = options_.uid},
      {.on_connect = [this](uint32_t port, base::UniqueFd fd) { OnConnect(port, std::move(fd)); },
       .on_end = [this](std::string why) { OnVmmEnd(std::move(why)); }}));
  TRY(options_.on_process("vmm", vmm_->pid()));
  return base::Ok();
}

void Machine::FillConfigure(v1::Configure* configure) const {
  configure->set_kernel_fd(kKernel);
  configure->set_initrd_fd(kInitrd);
  configure->set_console_fd(kConsole);
  configure->set_command_line(options_.command_line);
  configure->set_memory_mib(options_.cpus.memory_mib);
  const auto fill = [](const cpu::VcpuPlan& place, v1::Vcpu* vcpu) {
    vcpu->set_index(place.index);
    vcpu->set_package(place.package);
    vcpu->set_die(place.die);
    vcpu->set_core(place.core);
    vcpu->set_thread(place.thread);
    vcpu->set_l2(place.l2);
    vcpu->set_l3(place.l3);
    vcpu->set_node(place.node);
  };
  for (const cpu::VcpuPlan& place : options_.cpus.vcpus) fill(place, configure->add_vcpus());
  for (const cpu::VcpuPlan& place : options_.cpus.spare) fill(place, configure->add_later_vcpus());
  for (const cpu::GuestNode& node : options_.cpus.nodes) {
    v1::Node* const message = configure->add_nodes();
    message->set_memory_mib(node.memory_mib);
    message->mutable_host_nodes()->Add(node.mems.begin(), node.mems.end());
    // One node has no table to stand in.
    if (options_.cpus.nodes.size() == 1) break;
    message->mutable_distances()->Add(node.distances.begin(), node.distances.end());
  }
  v1::Fs* const fs = configure->add_devices()->mutable_fs();
  fs->set_fd(kFs);
  fs->set_tag(kShareTag);
  configure->add_devices()->mutable_vsock()->set_guest_cid(kGuestCid);
  configure->add_devices()->mutable_rng();
  int32_t tap = kFirstTap;
  for (const network::Card& card : options_.network.cards) {
    FillNet(card, tap++, configure->add_devices()->mutable_net());
  }
  if (!options_.network_comes_later) return;
  for (size_t i = 0; i < network::kMaxCards; ++i) configure->add_devices()->mutable_spare();
}

base::Result<void> Machine::SendCreateVm() {
  const base::UniqueFd kvm = TRY(OpenKvm());
  const base::BorrowedFd fds[] = {kvm};
  v1::ToVmm request;
  request.mutable_create_vm()->set_kvm_fd(0);
  vmm_->Request(request, fds,
                [this](base::Result<void> result) { OnVmCreated(std::move(result)); });
  return base::Ok();
}

void Machine::OnVmCreated(base::Result<void> result) {
  if (!Continue(std::move(result), "create the VM")) return;
  worker_.Compute<base::Result<void>>(
      [join = options_.join, vmm = vmm_->pid(), virtiofsd = virtiofsd_->pid()] {
        return join(vmm, virtiofsd);
      },
      [this, alive = std::weak_ptr(alive_)](base::Result<void> joined) {
        if (alive.expired() || !Continue(std::move(joined), "join the pod's cgroups")) return;
        base::Result<void> sent = SendConfigure();
        if (!sent) FailBoot(std::move(sent.error()));
      });
}

base::Result<void> Machine::SendConfigure() {
  const base::UniqueFd kernel = TRY(base::Open(options_.kernel, O_RDONLY), "guest kernel");
  const base::UniqueFd initrd = TRY(base::Open(options_.initrd, O_RDONLY), "guest initrd");
  const base::UniqueFd console = console_->TakeWriteEnd();
  const base::UniqueFd fs = virtiofsd_->TakeConnection();
  // The vmm alone holds them then: the taps are gone as soon as it is.
  const std::vector<base::UniqueFd> taps = std::move(options_.taps);
  std::vector<base::BorrowedFd> fds = {kernel, initrd, console, fs};
  fds.insert(fds.end(), taps.begin(), taps.end());
  v1::ToVmm request;
  FillConfigure(request.mutable_configure());
  vmm_->Request(request, fds,
                [this](base::Result<void> result) { OnConfigured(std::move(result)); });
  return base::Ok();
}

bool Machine::Continue(base::Result<void> result, const char* step) {
  if (state_ != State::kBooting || boot_error_) return false;
  if (result) return true;
  // kUnavailable: vmm or agent have gone, and the vmm's end says more.
  if (result.error().code() == Code::kUnavailable) {
    KillSoon(result.error().Message());
    return false;
  }
  result.error().Push(__FILE__, __LINE__, "{}", step);
  FailBoot(std::move(result.error()));
  return false;
}

void Machine::OnConfigured(base::Result<void> result) {
  if (!Continue(std::move(result), "make the machine")) return;
  worker_.Compute<base::Result<void>>(
      [place = options_.place, vmm = vmm_->pid(), virtiofsd = virtiofsd_->pid()] {
        return place(vmm, virtiofsd);
      },
      [this, alive = std::weak_ptr(alive_)](base::Result<void> placed) {
        if (!alive.expired() && Continue(std::move(placed), "place the vCPU threads")) SendRun();
      });
}

void Machine::SendRun() {
  deadline_ = loop_.After(options_.connect_timeout, [this] {
    FailBoot(MakeError(Code::kDeadlineExceeded,
                       "the guest's agent did not dial within {} s "
                       "(agent.connect_timeout_seconds)",
                       options_.connect_timeout.count()));
  });
  v1::ToVmm request;
  request.mutable_run();
  vmm_->Request(request, {}, [this](base::Result<void> result) {
    static_cast<void>(Continue(std::move(result), "run the machine"));
  });
}

void Machine::OnConnect(uint32_t port, base::UniqueFd socket) {
  if (port == stream::kStreamPort) {
    streams_->Accept(std::move(socket));
  } else if (port == stream::kAgentPort && !agent_ && state_ == State::kBooting) {
    StartAgent(std::move(socket));
  } else {
    // Closing the socket is the refusal.
    guest_log_.Add(base::LogLevel::kWarning,
                   fmt::format("the guest's connection to port {} is refused", port));
  }
}

void Machine::AttachToShare(std::vector<storage::SharedTree> trees,
                            std::function<void(base::Result<void>)> done) {
  // The job may outlive virtiofsd_. shared: std::function copies.
  auto server =
      std::make_shared<const base::UniqueFd>(fcntl(virtiofsd_->pidfd().get(), F_DUPFD_CLOEXEC, 0));
  auto shared = std::make_shared<const std::vector<storage::SharedTree>>(std::move(trees));
  worker_.Compute<base::Result<void>>(
      [share = options_.share, server, shared] {
        return storage::AttachToShare(share, *server, *shared);
      },
      std::move(done));
}

void Machine::StartAgent(base::UniqueFd socket) {
  base::Result<std::unique_ptr<AgentClient>> agent =
      AgentClient::Create(loop_, std::move(socket), options_.call_timeout,
                          [this] { KillSoon("the agent closed its connection"); });
  if (!agent) return FailBoot(std::move(agent.error()));
  agent_ = std::move(*agent);
  agent_->Hello(stream_token_, [this](base::Result<AgentClient::GuestInfo> answer) {
    OnHello(std::move(answer));
  });
}

void Machine::OnHello(base::Result<AgentClient::GuestInfo> answer) {
  base::Result<void> result;
  if (!answer) result = std::move(answer.error());
  if (answer) {
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - booting_since_);
    LOG_INFO("guest is up after {} ms: kernel {}, agent {}, {} CPUs", took.count(),
             answer->kernel_release, answer->agent_version, answer->online_cpus.size());
  }
  if (!Continue(std::move(result), "greet the agent")) return;
  SetUpNetwork();
}

void Machine::SetUpNetwork() {
  if (options_.network.cards.empty()) return LimitCpus();
  agent_->ConfigureNetwork(options_.network, [this](base::Result<void> result) {
    if (Continue(std::move(result), "set up the guest's network")) LimitCpus();
  });
}

void Machine::PlugNetwork(network::Survey network, std::vector<base::UniqueFd> taps,
                          std::function<void(base::Result<void>)> done) {
  options_.network = std::move(network);
  options_.taps = std::move(taps);
  PlugCard(0, std::move(done));
}

void Machine::PlugCard(size_t card, std::function<void(base::Result<void>)> done) {
  if (card == options_.taps.size()) {
    options_.taps.clear();  // the vmm alone holds them now
    return agent_->ConfigureNetwork(options_.network, std::move(done));
  }
  v1::ToVmm request;
  request.mutable_plug_net()->set_device(kFirstCard + static_cast<uint32_t>(card));
  FillNet(options_.network.cards[card], 0, request.mutable_plug_net()->mutable_net());
  const base::BorrowedFd fds[] = {options_.taps[card]};
  vmm_->Request(request, fds,
                [this, card, done = std::move(done)](base::Result<void> plugged) mutable {
                  if (plugged) return PlugCard(card + 1, std::move(done));
                  options_.taps.clear();
                  done(std::move(plugged));
                });
}

void Machine::LimitCpus() {
  deadline_.Cancel();
  worker_.Compute<base::Result<void>>(
      [limit = options_.limit] { return limit(); },
      [this, alive = std::weak_ptr(alive_)](base::Result<void> limited) {
        if (alive.expired() || !Continue(std::move(limited), "limit the CPUs")) return;
        state_ = State::kRunning;
        std::exchange(boot_done_, nullptr)(base::Ok());
      });
}

void Machine::AddCpus(const std::vector<uint32_t>& indices, ControlChannel::CpusDone done) {
  v1::ToVmm request;
  request.mutable_add_cpus()->mutable_indices()->Add(indices.begin(), indices.end());
  vmm_->RequestCpus(request, std::move(done));
}

void Machine::RemoveCpus(const std::vector<uint32_t>& indices, ControlChannel::CpusDone done) {
  v1::ToVmm request;
  request.mutable_remove_cpus()->mutable_indices()->Add(indices.begin(), indices.end());
  vmm_->RequestCpus(request, std::move(done));
}

void Machine::AddOomScore(pid_t anchor, int32_t score) {
  oom_scores_[anchor] = score;
  FollowOomScores();
}

void Machine::DropOomScore(pid_t anchor) {
  if (oom_scores_.erase(anchor) != 0) FollowOomScores();
}

void Machine::FollowOomScores() {
  const std::optional<int32_t> score = HighestOomScore(oom_scores_);
  // Each exec comes here, and changes nothing.
  if (!score || score == oom_score_ || state_ != State::kRunning) return;
  oom_score_ = score;
  SetOomScore(vmm_->pid(), *score);
  SetOomScore(virtiofsd_->pid(), *score);
  // It serves from a child. No deeper: that may be the guest's by now, with children of its making.
  for (const pid_t child : base::ChildrenOf(virtiofsd_->pid())) SetOomScore(child, *score);
}

void Machine::FailBoot(base::Error error) {
  if (state_ != State::kBooting || boot_error_) return;
  boot_error_ = std::make_unique<base::Error>(std::move(error));
  deadline_.Cancel();
  if (vmm_) return vmm_->Kill({});
  deadline_ = loop_.After(std::chrono::nanoseconds(0), [this] { OnVmmEnd({}); });
}

void Machine::Kill(std::string why) {
  if (state_ == State::kBooting) return FailBoot(MakeError(Code::kUnavailable, "{}", why));
  if (state_ == State::kRunning) vmm_->Kill(std::move(why));
}

void Machine::PowerOff(std::chrono::nanoseconds limit) {
  if (state_ != State::kRunning) return;
  powering_off_ = true;
  deadline_ = loop_.After(limit, [this] { Kill("the guest did not power off in time"); });
  agent_->Shutdown(limit, [](base::Result<void> answer) {
    if (!answer && answer.error().code() != Code::kUnavailable) {
      LOG_WARNING("the agent's Shutdown: {}", answer.error().Message());
    }
  });
}

void Machine::KillSoon(std::string why) {
  if (powering_off_ || boot_error_ || state_ == State::kEnded) return;
  deadline_ = loop_.After(kLastWords, [this, why = std::move(why)] { Kill(why); });
}

base::Error Machine::BootError(const std::string& why) {
  const std::string tail = console_ ? console_->Tail() : std::string();
  if (boot_error_) {
    const std::string text = boot_error_->Message();
    return base::Error(boot_error_->code(), tail.empty() ? text : text + "\n" + tail);
  }
  return MakeError(Code::kUnavailable, "the machine ended before its agent was there: {}{}{}", why,
                   tail.empty() ? "" : "\n", tail);
}

void Machine::OnVmmEnd(std::string why) {
  const State before = std::exchange(state_, State::kEnded);
  deadline_.Cancel();
  virtiofsd_.reset();
  if (agent_) agent_->Close();
  if (before == State::kBooting) {
    base::Error error = BootError(why);
    const auto done = std::move(boot_done_);
    return done(std::move(error));
  }
  const std::string tail = console_->Tail();
  if (!powering_off_ && !tail.empty()) LOG_WARNING("{}", tail);
  const auto on_end = std::move(events_.on_end);
  on_end(std::move(why));
}

}  // namespace pod
