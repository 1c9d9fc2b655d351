#include "runtime/shim/start_options.h"

#include <gtest/gtest.h>

#include "agent-proto/proto/containerd/options.pb.h"

namespace shim {
namespace {

containerd::Any RuncOptions(const std::string& cgroup) {
  containerd::options::RuncOptions options;
  options.set_shim_cgroup(cgroup);
  containerd::Any any;
  any.set_type_url("containerd.runc.v1.Options");
  any.set_value(options.SerializeAsString());
  return any;
}

Flags OurFlags() {
  Flags flags;
  flags.ns = "default";
  flags.id = "foo";
  return flags;
}

TEST(StartOptions, NothingIsNone) { EXPECT_EQ(ParseStartOptions("", OurFlags())->shim_cgroup, ""); }

TEST(StartOptions, TakesABareAny) {
  EXPECT_EQ(ParseStartOptions(RuncOptions("/x").SerializeAsString(), OurFlags())->shim_cgroup,
            "/x");
}

TEST(StartOptions, TakesBootstrapParamsOfThisContainer) {
  containerd::options::BootstrapParams params;
  params.set_instance_id("foo");
  params.set_namespace_("default");
  params.set_socket_dir("/run/other/s");
  params.set_containerd_version("2.3.4");
  *params.add_extensions()->mutable_value() = RuncOptions("/x");
  const auto options = ParseStartOptions(params.SerializeAsString(), OurFlags());
  ASSERT_TRUE(options);
  EXPECT_EQ(options->shim_cgroup, "/x");
  EXPECT_EQ(options->socket_dir, "/run/other/s");
  EXPECT_EQ(options->containerd_version, "2.3.4");
  params.set_socket_dir("relative");
  EXPECT_FALSE(ParseStartOptions(params.SerializeAsString(), OurFlags()));
  params.set_socket_dir("/" + std::string(42, 'x'));
  EXPECT_FALSE(ParseStartOptions(params.SerializeAsString(), OurFlags()));
}

TEST(StartOptions, TakesTheConfigurationsPath) {
  containerd::options::RuntimeOptions options;
  options.set_config_path("/etc/other.toml");
  containerd::Any any;
  any.set_type_url("runtimeoptions.v1.Options");
  any.set_value(options.SerializeAsString());
  EXPECT_EQ(ParseStartOptions(any.SerializeAsString(), OurFlags())->config_path, "/etc/other.toml");
}

TEST(StartOptions, IgnoresOptionsOfOthers) {
  containerd::Any any;
  any.set_type_url("other.Options");
  any.set_value("\xff\xff");
  EXPECT_TRUE(ParseStartOptions(any.SerializeAsString(), OurFlags()));
}

TEST(StartOptions, RejectsGarbage) {
  EXPECT_FALSE(ParseStartOptions("\xff\xff\xff", OurFlags()));
  containerd::Any any;
  any.set_type_url("containerd.runc.v1.Options");
  any.set_value("\xff\xff");
  EXPECT_FALSE(ParseStartOptions(any.SerializeAsString(), OurFlags()));
}

}  // namespace
}  // namespace shim
