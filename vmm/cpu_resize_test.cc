// Adding and removing CPUs, with bare vCPUs and a guest whose part the test plays at the registers.
#include "vmm/cpu_resize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <thread>

#include "vmm/cpu/bare_machine.h"

namespace vmm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FakeLine : public IrqLine {
 public:
  void Trigger() override {}
  base::BorrowedFd eventfd() override { return {}; }
};

class CpuResizeTest : public ::testing::Test {
 protected:
  static constexpr uint8_t kSpin[] = {0xeb, 0xfe};

  void SetUp() override {
    OPEN_KVM_OR_SKIP(system);
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    auto machine = BareMachine::Create(system, kSpin);
    ASSERT_TRUE(machine);
    machine_ = std::make_unique<BareMachine>(std::move(*machine));
    ASSERT_TRUE(machine_->vm.EnableSplitIrqchip(24));
    ASSERT_TRUE(VcpuSet::Prepare());
    vcpus_ = std::make_unique<VcpuSet>(VcpuSet::Options{.ports = bus_, .memory = bus_});
    for (uint32_t id = 0; id < 3; ++id) {
      auto vcpu = machine_->MakeVcpu(system, id);
      ASSERT_TRUE(vcpu);
      vcpus_->Add(std::move(*vcpu), id == 0);
    }
    device_ = std::make_unique<CpuHotplug>(
        3, 1,
        CpuHotplug::Events{
            .on_eject = [this](uint32_t cpu) { resize_->OnEject(cpu); },
            .on_report = [this](uint32_t cpu, uint32_t event,
                                uint32_t status) { resize_->OnReport(cpu, event, status); }});
    device_->Connect(line_);
    resize_ = std::make_unique<CpuResize>(*loop_, *device_, *vcpus_);
    ASSERT_TRUE(vcpus_->Realise());
    vcpus_->Run();
  }

  void Put(uint64_t offset, uint32_t value, size_t bytes) {
    std::array<std::byte, 4> data;
    std::memcpy(data.data(), &value, sizeof(value));
    device_->Write(offset, {data.data(), bytes});
  }
  void GuestReports(uint32_t cpu, uint32_t event, uint32_t status) {
    Put(0, cpu, 4);
    Put(8, event, 4);
    Put(12, status, 4);
    EXPECT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
  }
  void GuestEjects(uint32_t cpu) {
    Put(0, cpu, 4);
    Put(4, CpuHotplug::kEject, 1);
    EXPECT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
  }
  void WaitFor(uint32_t cpu, Vcpu::State state) {
    while (vcpus_->vcpu(cpu).state() != state) std::this_thread::yield();
  }
  CpuResize::Done Done() {
    return [this](base::Result<void> result, std::vector<uint32_t> cpus) {
      ++answers_;
      error_ = result ? "" : result.error().Message();
      cpus_ = std::move(cpus);
    };
  }
  base::Result<void> Add(std::vector<uint32_t> cpus) { return resize_->Add(cpus, Done()); }
  base::Result<void> Remove(std::vector<uint32_t> cpus) { return resize_->Remove(cpus, Done()); }

  Bus bus_;
  FakeLine line_;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<BareMachine> machine_;
  std::unique_ptr<CpuHotplug> device_;
  std::unique_ptr<CpuResize> resize_;
  std::unique_ptr<VcpuSet> vcpus_;  // its threads use what is above
  int answers_ = 0;
  std::string error_;
  std::vector<uint32_t> cpus_;
};

TEST_F(CpuResizeTest, ReportsInALoopAreNotKept) {
  ASSERT_TRUE(Add({1}));
  for (int i = 0; i < 100000; ++i) resize_->OnReport(1, 1, 0x80);
  resize_->OnReport(1, 1, 0);  // lost, as the guest has only itself to blame for
  EXPECT_TRUE(loop_->RunOnce(std::chrono::milliseconds(0)));
  EXPECT_EQ(answers_, 0);
  GuestReports(1, 1, 0);
  EXPECT_EQ(answers_, 1);
}

TEST_F(CpuResizeTest, CpusComeAndGoAndComeAgain) {
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(Add({1, 2}));
    WaitFor(1, Vcpu::State::kRunning);
    WaitFor(2, Vcpu::State::kRunning);
    GuestReports(1, 1, 0);
    EXPECT_EQ(answers_, round * 2);  // one is still out
    GuestReports(2, 1, 0x80);        // in progress
    EXPECT_EQ(answers_, round * 2);
    GuestReports(2, 1, 0);
    EXPECT_EQ(answers_, round * 2 + 1);
    EXPECT_EQ(error_, "");
    EXPECT_THAT(cpus_, ElementsAre(1, 2));
    ASSERT_TRUE(Remove({2, 1}));
    GuestReports(1, 3, 0x84);  // in progress
    GuestEjects(1);
    GuestReports(1, 3, 0);  // late, and nobody waits for it
    EXPECT_EQ(answers_, round * 2 + 1);
    GuestEjects(2);
    EXPECT_EQ(answers_, round * 2 + 2);
    WaitFor(1, Vcpu::State::kParked);
    WaitFor(2, Vcpu::State::kParked);
  }
}

TEST_F(CpuResizeTest, WhatTheGuestDoesNotTakeIsNotThere) {
  ASSERT_TRUE(Add({1, 2}));
  GuestReports(1, 1, 0);
  GuestReports(2, 1, 0x82);
  EXPECT_THAT(error_, HasSubstr("CPU 2: status 0x82"));
  EXPECT_THAT(cpus_, ElementsAre(1));
  WaitFor(2, Vcpu::State::kParked);
  EXPECT_FALSE(device_->present(2));
  EXPECT_TRUE(device_->present(1));
}

TEST_F(CpuResizeTest, WhatTheGuestKeepsStays) {
  ASSERT_TRUE(Add({1}));
  GuestReports(1, 1, 0);
  ASSERT_TRUE(Remove({1}));
  GuestReports(1, 3, 0x82);
  EXPECT_THAT(error_, HasSubstr("did not let go of CPU 1"));
  EXPECT_THAT(cpus_, IsEmpty());
  EXPECT_TRUE(device_->present(1));
  WaitFor(1, Vcpu::State::kRunning);
}

TEST_F(CpuResizeTest, OneAtATimeAndOnlyWhatCanBe) {
  EXPECT_THAT(Add({}).error().Message(), HasSubstr("none"));
  EXPECT_THAT(Add({3}).error().Message(), HasSubstr("below 3"));
  EXPECT_THAT(Add({1, 1}).error().Message(), HasSubstr("each once"));
  EXPECT_THAT(Add({0}).error().Message(), HasSubstr("already there"));
  EXPECT_THAT(Remove({1}).error().Message(), HasSubstr("not there"));
  EXPECT_THAT(Remove({0}).error().Message(), HasSubstr("booted"));
  ASSERT_TRUE(Add({1}));
  EXPECT_THAT(Add({2}).error().Message(), HasSubstr("has not answered"));
  EXPECT_FALSE(device_->present(2));
  EXPECT_EQ(answers_, 0);
}

TEST_F(CpuResizeTest, AGuestThatSpeaksUnaskedChangesNothing) {
  GuestReports(1, 1, 0);
  GuestEjects(1);
  GuestEjects(0);
  EXPECT_EQ(answers_, 0);
  EXPECT_TRUE(device_->present(0));
}

}  // namespace
}  // namespace vmm
