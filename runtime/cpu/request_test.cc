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

}  // namespace
}  // namespace cpu
