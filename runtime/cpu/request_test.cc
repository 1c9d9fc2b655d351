#include "runtime/cpu/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cpu {
namespace {

oci::Spec WithCpu() {
  oci::Spec spec;
  spec.linux_config.resources.cpu = oci::CpuLimits{.shares = uint64_t{1024},
                                                   .quota_us = int64_t{250000},
                                                   .period_us = uint64_t{100000},
                                                   .cpus = "2-3",
                                                   .mems = "0"};
  return spec;
}

TEST(RequestTest, TakesTheContainersOwnLimits) {
  const auto request = RequestFromSpec(WithCpu());
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->cri);
  EXPECT_FALSE(request->pod);
  ASSERT_EQ(request->containers.size(), 1u);
  EXPECT_EQ(request->containers[0].shares, 1024u);
  EXPECT_EQ(request->containers[0].quota_us, 250000);
  EXPECT_EQ(request->containers[0].cpus, "2-3");
  EXPECT_EQ(request->containers[0].mems, "0");
}

TEST(RequestTest, ThePauseContainersCpuIsNoRequest) {
  oci::Spec spec = WithCpu();
  spec.annotations = {{"io.kubernetes.cri.container-type", "sandbox"},
                      {"io.kubernetes.cri.sandbox-cpu-quota", "150000"},
                      {"io.kubernetes.cri.sandbox-cpu-period", "100000"},
                      {"io.kubernetes.cri.sandbox-cpu-shares", "1536"}};
  const auto request = RequestFromSpec(spec);
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->cri);
  EXPECT_TRUE(request->containers.empty());
  ASSERT_TRUE(request->pod);
  EXPECT_EQ(request->pod->quota_us, 150000);
  EXPECT_EQ(request->pod->shares, 1536u);
}

TEST(RequestTest, AnAnnotationThatIsNoNumberIsAnError) {
  oci::Spec spec = WithCpu();
  for (const char* text : {"x", "1x", "1.5", " 1", "99999999999999999999"}) {
    spec.annotations["io.kubernetes.cri.sandbox-cpu-quota"] = text;
    const auto request = RequestFromSpec(spec);
    ASSERT_FALSE(request) << text;
    EXPECT_THAT(request.error().Message(), ::testing::HasSubstr("sandbox-cpu-quota"));
  }
  spec.annotations["io.kubernetes.cri.sandbox-cpu-quota"] = "";
  EXPECT_TRUE(RequestFromSpec(spec));
}

TEST(RequestTest, SpecsOfOnePodAreOneRequest) {
  std::vector<oci::Spec> specs(3, WithCpu());
  for (oci::Spec& spec : specs) {
    spec.annotations = {{"io.kubernetes.cri.container-type", "container"},
                        {"io.kubernetes.cri.sandbox-cpu-quota", "300000"}};
  }
  specs[0].annotations["io.kubernetes.cri.container-type"] = "sandbox";
  specs[2].linux_config.resources.cpu.reset();
  const auto request = RequestFromSpecs(specs);
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->cri);
  ASSERT_EQ(request->containers.size(), 2u);
  EXPECT_EQ(request->containers[0].cpus, "2-3");
  EXPECT_EQ(request->containers[1].shares, 0u);
  EXPECT_EQ(request->pod->quota_us, 300000);
}

TEST(GuestMemoryTest, TheLimitAndTheGuestsOwn) {
  oci::Spec spec;
  const auto mib = [](const std::vector<oci::Spec>& specs) {
    return *GuestMemoryMib(specs, 256, 128);
  };
  EXPECT_EQ(mib({spec}), 256u);
  spec.linux_config.resources.memory = oci::MemoryLimits{.limit = (64 << 20) + 1};
  EXPECT_EQ(mib({spec}), 65u + 128u);
  EXPECT_EQ(mib({spec, spec}), 130u + 128u);
  // One without a limit may take what any container may.
  EXPECT_EQ(mib({spec, oci::Spec()}), 256u);
  spec.annotations = {{"io.kubernetes.cri.sandbox-memory", "1073741824"}};
  EXPECT_EQ(mib({spec, oci::Spec()}), 1024u + 128u);
  spec.annotations = {{"io.kubernetes.cri.sandbox-memory", "0"}};
  EXPECT_EQ(mib({spec}), 65u + 128u);
  spec.linux_config.resources.memory->limit = INT64_MAX;
  EXPECT_FALSE(GuestMemoryMib(std::vector{spec}, 256, 128));
}

TEST(BootTest, WaitsForAPodThatLooksLikeItGetsCpusOfItsOwn) {
  const auto waits = [](uint64_t shares, int64_t quota, Boot boot = Boot::kAuto) {
    return BootsWithFirstContainer(
        {.cri = true, .pod = ContainerRequest{.shares = shares, .quota_us = quota}}, boot);
  };
  EXPECT_TRUE(waits(2048, 200000));
  EXPECT_TRUE(waits(2048, -1));
  EXPECT_TRUE(waits(2048, 0));
  EXPECT_FALSE(waits(2048, 300000));
  EXPECT_FALSE(waits(2049, 0));
  EXPECT_FALSE(waits(0, 0));
  EXPECT_FALSE(BootsWithFirstContainer({.cri = true}, Boot::kAuto));
  EXPECT_FALSE(waits(2048, 200000, Boot::kEager));
  EXPECT_TRUE(waits(2, 0, Boot::kFirstContainer));
}

TEST(UpdatedTest, WhatIsNotGivenStays) {
  const ContainerRequest before{
      .shares = 512, .quota_us = 50000, .period_us = 50000, .cpus = "2-3"};
  oci::CpuLimits cpu;
  cpu.shares = 0;
  EXPECT_EQ(Updated(before, cpu).shares, 512u);
  EXPECT_EQ(Updated(before, cpu).quota_us, 50000);
  EXPECT_EQ(Updated(before, cpu).cpus, "2-3");
  cpu.quota_us = -1;
  cpu.cpus = "4";
  EXPECT_EQ(Updated(before, cpu).quota_us, -1);
  EXPECT_EQ(Updated(before, cpu).period_us, 50000u);
  EXPECT_EQ(Updated(before, cpu).cpus, "4");
}

TEST(AsksLessTest, LimitsAndSharesCount) {
  const ContainerRequest half{.shares = 512, .quota_us = 50000};
  EXPECT_TRUE(AsksLess({.shares = 512}, half));
  EXPECT_FALSE(AsksLess(half, {.shares = 512}));
  EXPECT_TRUE(AsksLess(half, {.shares = 511, .quota_us = 50000}));
  EXPECT_TRUE(AsksLess(half, {.shares = 512, .quota_us = 50000, .period_us = 200000}));
  EXPECT_FALSE(AsksLess(half, half));
}

}  // namespace
}  // namespace cpu
