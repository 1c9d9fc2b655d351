// Life cycle of vCPU threads, with bare vCPUs.
#include "vmm/cpu/vcpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstring>
#include <future>

#include "vmm/cpu/bare_machine.h"
#include "vmm/cpu/vcpu_set.h"
#include "vmm/device/power_ports.h"

namespace vmm {
namespace {

using ::testing::HasSubstr;

constexpr uint8_t kSpin[] = {0xeb, 0xfe};  // jmp .
constexpr uint8_t kOut7[] = {0xb0, 0x37, 0xe6,
                             0x10, 0xeb, 0xfe};  // mov al,0x37; out 0x10,al; jmp .
// in al,0x10; mov [0x2000],al; jmp start: a memory and a port access, for ever.
constexpr uint8_t kInLoop[] = {0xe4, 0x10, 0xa2, 0x00, 0x20, 0xeb, 0xf9};
constexpr uint8_t kHalt[] = {0xf4};

class PortDevice : public BusDevice {
 public:
  void Read(uint64_t, std::span<std::byte> data) override {
    data[0] = std::byte{0x5a};
    ++reads;
  }
  void Write(uint64_t, std::span<const std::byte> data) override {
    written = std::to_integer<int>(data[0]);
    if (on_write) on_write();
  }
  std::atomic<int> reads{0};
  std::atomic<int> written{-1};
  std::function<void()> on_write;
};

class VcpuTest : public ::testing::Test {
 protected:
  // The future holds the Stop once every vCPU has ended.
  std::unique_ptr<VcpuSet> MakeSet(std::function<base::Result<void>()> start = {}) {
    EXPECT_TRUE(VcpuSet::Prepare());
    return std::make_unique<VcpuSet>(
        VcpuSet::Options{.ports = ports_,
                         .memory = memory_,
                         .on_thread_start = std::move(start),
                         .on_stopped = [this](const Stop& stop) { stopped_.set_value(stop); }});
  }
  Bus ports_;
  Bus memory_;
  PortDevice device_;
  std::promise<Stop> stopped_;
};

#define MAKE_VCPUS(set, code, count)                   \
  OPEN_KVM_OR_SKIP(system);                            \
  auto machine_ = BareMachine::Create(system, code);   \
  ASSERT_TRUE(machine_) << machine_.error().Message(); \
  for (uint32_t i_ = 0; i_ < (count); ++i_) {          \
    auto vcpu_ = machine_->MakeVcpu(system, i_);       \
    ASSERT_TRUE(vcpu_) << vcpu_.error().Message();     \
    (set).Add(std::move(*vcpu_));                      \
  }

TEST_F(VcpuTest, StartsParkedAndEndsWithoutEverRunning) {
  auto set = MakeSet();
  MAKE_VCPUS(*set, kSpin, 2);
  ASSERT_TRUE(set->Realise());
  EXPECT_EQ(set->vcpu(0).state(), Vcpu::State::kParked);
  set->StopAll({StopReason::kPowerOff, "test"});
  EXPECT_EQ(stopped_.get_future().get().reason, StopReason::kPowerOff);
  EXPECT_TRUE(set->ExitCounts().empty());
}

TEST_F(VcpuTest, ThreadStartErrorFailsRealise) {
  auto set = MakeSet(
      [] { return base::Result<void>(base::MakeError(base::Code::kInternal, "no filter today")); });
  MAKE_VCPUS(*set, kSpin, 1);
  auto realised = set->Realise();
  ASSERT_FALSE(realised);
  EXPECT_THAT(realised.error().Message(), HasSubstr("no filter today"));
}

TEST_F(VcpuTest, PausesASpinningGuestAndRunsItAgain) {
  auto set = MakeSet();
  MAKE_VCPUS(*set, kSpin, 2);
  ASSERT_TRUE(set->Realise());
  for (int round = 0; round < 20; ++round) {
    set->Run();
    std::promise<void> paused;
    ASSERT_TRUE(set->Pause([&] { paused.set_value(); }));
    paused.get_future().get();
    EXPECT_EQ(set->vcpu(0).state(), Vcpu::State::kParked);
    EXPECT_EQ(set->vcpu(1).state(), Vcpu::State::kParked);
  }
  set->Run();
  set->StopAll({StopReason::kReset, ""});
  EXPECT_EQ(stopped_.get_future().get().reason, StopReason::kReset);
}

TEST_F(VcpuTest, PausesAGuestThatExitsAllTheTime) {
  ASSERT_TRUE(ports_.Insert(0x10, 1, device_));
  auto set = MakeSet();
  MAKE_VCPUS(*set, kInLoop, 2);
  ASSERT_TRUE(set->Realise());
  for (int round = 0; round < 20; ++round) {
    set->Run();
    std::promise<void> paused;
    ASSERT_TRUE(set->Pause([&] { paused.set_value(); }));
    paused.get_future().get();
    const int reads = device_.reads;
    EXPECT_EQ(reads, device_.reads);
  }
  set->StopAll({});
  stopped_.get_future().get();
}

TEST_F(VcpuTest, PortAccessesReachTheDevice) {
  ASSERT_TRUE(ports_.Insert(0x10, 1, device_));
  std::promise<void> seen;
  device_.on_write = [&] { seen.set_value(); };
  auto set = MakeSet();
  MAKE_VCPUS(*set, kOut7, 1);
  ASSERT_TRUE(set->Realise());
  set->Run();
  seen.get_future().get();
  EXPECT_EQ(device_.written, 0x37);
  set->StopAll({});
  stopped_.get_future().get();
  EXPECT_EQ(set->ExitCounts()["port_write"], 1u);
}

// A guest's own power-off arrives on a vCPU thread and ends that thread too.
TEST_F(VcpuTest, ADeviceMayStopTheMachineFromWithinAnAccess) {
  ASSERT_TRUE(ports_.Insert(0x10, 1, device_));
  auto set = MakeSet();
  device_.on_write = [&] { set->StopAll({StopReason::kPowerOff, "device"}); };
  MAKE_VCPUS(*set, kOut7, 3);
  ASSERT_TRUE(set->Realise());
  set->Run();
  const Stop stop = stopped_.get_future().get();
  EXPECT_EQ(stop.reason, StopReason::kPowerOff);
  EXPECT_EQ(stop.detail, "device");
}

TEST_F(VcpuTest, HaltWithoutALocalApicStopsWithAReason) {
  auto set = MakeSet();
  MAKE_VCPUS(*set, kHalt, 1);
  ASSERT_TRUE(set->Realise());
  set->Run();
  const Stop stop = stopped_.get_future().get();
  EXPECT_EQ(stop.reason, StopReason::kInternalError);
  EXPECT_THAT(stop.detail, HasSubstr("halted"));
}

TEST_F(VcpuTest, ThreadsHaveTheirNames) {
  std::mutex mutex;
  std::vector<std::string> names;
  auto set = MakeSet([&] {
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof(name));
    const std::lock_guard lock(mutex);
    names.push_back(name);
    return base::Ok();
  });
  MAKE_VCPUS(*set, kSpin, 2);
  ASSERT_TRUE(set->Realise());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("vcpu0", "vcpu1"));
}

}  // namespace
}  // namespace vmm
