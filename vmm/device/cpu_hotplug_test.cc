#include "vmm/device/cpu_hotplug.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>

namespace vmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FakeLine : public IrqLine {
 public:
  void Trigger() override { ++edges; }
  base::BorrowedFd eventfd() override { return {}; }
  int edges = 0;
};

class CpuHotplugTest : public ::testing::Test {
 protected:
  CpuHotplugTest() { device_.Connect(line_); }
  void Put(uint64_t offset, uint32_t value, size_t bytes = 4) {
    std::array<std::byte, 4> data;
    std::memcpy(data.data(), &value, sizeof(value));
    device_.Write(offset, {data.data(), bytes});
  }
  uint32_t Get(uint64_t offset, size_t bytes = 4) {
    std::array<std::byte, 4> data = {};
    device_.Read(offset, {data.data(), bytes});
    uint32_t value;
    std::memcpy(&value, data.data(), sizeof(value));
    return value;
  }
  uint8_t Flags(uint32_t cpu) {
    Put(0, cpu);
    return static_cast<uint8_t>(Get(4, 1));
  }

  std::vector<std::string> told_;
  FakeLine line_;
  CpuHotplug device_{
      4,
      2,
      {.on_eject = [this](uint32_t cpu) { told_.push_back(fmt::format("eject {}", cpu)); },
       .on_report =
           [this](uint32_t cpu, uint32_t event, uint32_t status) {
             told_.push_back(fmt::format("report {} {} {}", cpu, event, status));
           }}};
};

TEST_F(CpuHotplugTest, SaysWhichCpusAreThere) {
  EXPECT_EQ(Flags(1), CpuHotplug::kPresent);
  EXPECT_EQ(Flags(2), 0);
  EXPECT_EQ(Get(0), CpuHotplug::kNoCpu);
}

TEST_F(CpuHotplugTest, AnInsertedCpuIsAnnouncedUntilTheEventIsTaken) {
  device_.Insert(3);
  EXPECT_EQ(line_.edges, 1);
  EXPECT_EQ(Get(0), 3u);
  EXPECT_EQ(Flags(3), CpuHotplug::kPresent | CpuHotplug::kInsertEvent);
  Put(4, CpuHotplug::kInsertEvent, 1);
  EXPECT_EQ(Flags(3), CpuHotplug::kPresent);
  EXPECT_EQ(Get(0), CpuHotplug::kNoCpu);
  Put(8, 1);
  Put(12, 0);
  EXPECT_THAT(told_, ElementsAre("report 3 1 0"));
}

TEST_F(CpuHotplugTest, OnlyACpuThatWasAskedBackCanBeEjected) {
  Put(0, 1);
  Put(4, CpuHotplug::kEject, 1);
  EXPECT_EQ(Flags(1), CpuHotplug::kPresent);
  device_.RequestRemoval(1);
  EXPECT_EQ(Get(0), 1u);
  Put(4, CpuHotplug::kRemoveEvent, 1);
  Put(4, CpuHotplug::kEject, 1);
  Put(4, CpuHotplug::kEject, 1);
  EXPECT_THAT(told_, ElementsAre("eject 1"));
  EXPECT_EQ(Flags(1), 0);
  // Its return makes it the guest's again.
  device_.Insert(1);
  Put(4, CpuHotplug::kEject, 1);
  EXPECT_TRUE(device_.present(1));
}

TEST_F(CpuHotplugTest, TheCpuThatBootedStays) {
  device_.RequestRemoval(0);
  Put(0, 0);
  Put(4, CpuHotplug::kEject, 1);
  EXPECT_TRUE(device_.present(0));
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(CpuHotplugTest, AWithdrawnCpuHasNoEventLeft) {
  device_.Insert(2);
  device_.Withdraw(2);
  EXPECT_EQ(Get(0), CpuHotplug::kNoCpu);
  EXPECT_EQ(Flags(2), 0);
}

TEST_F(CpuHotplugTest, OddAccessesAreHarmless) {
  Put(0, 4);  // no such CPU: the selection stays
  Put(0, 0xffffffff);
  EXPECT_EQ(static_cast<uint8_t>(Get(4, 1)), CpuHotplug::kPresent);
  EXPECT_EQ(Get(0, 2), 0u);
  EXPECT_EQ(Get(9, 1), 0u);
  Put(2, 0xff, 1);
  Put(5, 0xff, 1);
  Put(14, 0xff, 2);
  EXPECT_THAT(told_, IsEmpty());
}

}  // namespace
}  // namespace vmm
