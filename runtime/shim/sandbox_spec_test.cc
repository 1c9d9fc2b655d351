#include "runtime/shim/sandbox_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent-proto/proto/containerd/cri.pb.h"

namespace shim {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

containerd::sandbox::CreateSandboxRequest Request(const containerd::cri::PodSandboxConfig& config) {
  containerd::sandbox::CreateSandboxRequest request;
  request.set_sandbox_id("pod");
  request.set_netns_path("/run/netns/x");
  request.mutable_options()->set_type_url("runtime.v1.PodSandboxConfig");
  request.mutable_options()->set_value(config.SerializeAsString());
  return request;
}

const oci::Namespace* NetworkOf(const oci::Spec& spec) {
  for (const oci::Namespace& one : spec.linux_config.namespaces) {
    if (one.type == "network") return &one;
  }
  return nullptr;
}

TEST(SandboxSpec, TakesWhatThePodIsGiven) {
  containerd::cri::PodSandboxConfig config;
  config.set_hostname("web");
  (*config.mutable_annotations())["io.pinion.cpu.smt"] = "hide";
  (*config.mutable_annotations())["kubernetes.io/config.seen"] = "now";
  (*config.mutable_linux_config()->mutable_sysctls())["net.core.somaxconn"] = "17";
  config.mutable_linux_config()->set_cgroup_parent("/kubepods/pod1");
  auto* const limits = config.mutable_linux_config()->mutable_resources();
  limits->set_cpu_quota(250000);
  limits->set_cpu_period(100000);
  limits->set_memory_limit_in_bytes(1 << 28);
  const auto spec = SandboxSpec(Request(config));
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->hostname, "web");
  EXPECT_THAT(spec->annotations,
              ::testing::UnorderedElementsAre(
                  Pair("io.kubernetes.cri.container-type", "sandbox"),
                  Pair("io.kubernetes.cri.sandbox-id", "pod"), Pair("io.pinion.cpu.smt", "hide"),
                  Pair("io.kubernetes.cri.sandbox-cpu-quota", "250000"),
                  Pair("io.kubernetes.cri.sandbox-cpu-period", "100000"),
                  Pair("io.kubernetes.cri.sandbox-memory", "268435456")));
  EXPECT_THAT(spec->linux_config.sysctl, ElementsAre(Pair("net.core.somaxconn", "17")));
  EXPECT_EQ(spec->linux_config.cgroups_path, "/kubepods/pod1/pod");
  ASSERT_NE(NetworkOf(*spec), nullptr);
  EXPECT_EQ(NetworkOf(*spec)->path, "/run/netns/x");
  // What is written is what the pod will read.
  const auto parsed = oci::Parse(oci::Serialise(*spec));
  ASSERT_TRUE(parsed) << parsed.error().Message();
  EXPECT_EQ(*parsed, *spec);
}

TEST(SandboxSpec, SystemdsCgroupIsAScopeOfTheSlice) {
  containerd::cri::PodSandboxConfig config;
  config.mutable_linux_config()->set_cgroup_parent("/kubepods.slice/kubepods-pod1.slice");
  EXPECT_EQ(SandboxSpec(Request(config))->linux_config.cgroups_path,
            "kubepods-pod1.slice:cri-containerd:pod");
}

TEST(SandboxSpec, WithoutAConfigurationItIsAPodOfItsOwn) {
  containerd::sandbox::CreateSandboxRequest request;
  request.set_sandbox_id("pod");
  request.mutable_options()->set_type_url("other.Options");
  request.mutable_options()->set_value("\xff");
  (*request.mutable_annotations())["io.pinion.cpu.pinning"] = "off";
  const auto spec = SandboxSpec(request);
  ASSERT_TRUE(spec);
  EXPECT_THAT(spec->annotations, Contains(Pair("io.pinion.cpu.pinning", "off")));
  EXPECT_THAT(spec->linux_config.cgroups_path, IsEmpty());
  ASSERT_NE(NetworkOf(*spec), nullptr);
  EXPECT_THAT(NetworkOf(*spec)->path, IsEmpty());
}

TEST(SandboxSpec, TheHostsNetworkIsLeftForThePodToRefuse) {
  containerd::cri::PodSandboxConfig config;
  config.mutable_linux_config()
      ->mutable_security_context()
      ->mutable_namespace_options()
      ->set_network(containerd::cri::NAMESPACE_MODE_NODE);
  EXPECT_EQ(NetworkOf(*SandboxSpec(Request(config))), nullptr);
}

TEST(SandboxSpec, RejectsOptionsThatDoNotParse) {
  auto request = Request({});
  request.mutable_options()->set_value("\xff\xff");
  EXPECT_EQ(SandboxSpec(request).error().code(), base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace shim
