#include "runtime/shim/address.h"

#include <gtest/gtest.h>

namespace shim {
namespace {

TEST(SocketPath, IsTheOneContainerdsTestsLookFor) {
  EXPECT_EQ(SocketPath("/run/containerd/containerd.sock", "default", "foo"),
            "/run/containerd/s/0ef8ff6eee5e57db347888bf5cbc6792a6072d2620834fa5d518ce50f84567bf");
}

TEST(SocketPath, AddressIsCleanedAsGoDoes) {
  EXPECT_EQ(SocketPath("/run//containerd/./x/../containerd.sock", "default", "foo"),
            SocketPath("/run/containerd/containerd.sock", "default", "foo"));
}

TEST(SocketPath, FitsWhateverTheIds) {
  const std::string id(76, 'x');
  EXPECT_EQ(SocketPath("/run/containerd/containerd.sock", id, id).size(), 82u);
}

TEST(Endpoint, TtrpcIsAPlainAddress) {
  const Endpoint endpoint{config::Transport::kTtrpc, "/run/s/x"};
  EXPECT_EQ(ToText(endpoint), "unix:///run/s/x");
  EXPECT_EQ(ParseEndpoint(ToText(endpoint)).value_or(Endpoint()), endpoint);
}

TEST(Endpoint, GrpcIsTheJsonOfVersion2) {
  const Endpoint endpoint{config::Transport::kGrpc, "/run/s/x"};
  EXPECT_EQ(ToText(endpoint), R"({"version":2,"address":"/run/s/x","protocol":"grpc"})");
  EXPECT_EQ(ParseEndpoint(ToText(endpoint)).value_or(Endpoint()), endpoint);
  EXPECT_NE(SocketKey(config::Transport::kGrpc, "a"), SocketKey(config::Transport::kTtrpc, "a"));
}

TEST(Endpoint, RejectsWhatIsNone) {
  EXPECT_FALSE(ParseEndpoint(""));
  EXPECT_FALSE(ParseEndpoint("{}"));
  EXPECT_FALSE(ParseEndpoint(R"({"address":3})"));
  const auto third = ParseEndpoint(ToVersion3Text({config::Transport::kTtrpc, "/run/s/x"}));
  ASSERT_TRUE(third);
  EXPECT_EQ(third->socket, "/run/s/x");
  EXPECT_EQ(third->transport, config::Transport::kTtrpc);
  EXPECT_FALSE(ParseEndpoint("/run/s/x"));
}

TEST(GroupingKey, PrefersRuncsAnnotation) {
  EXPECT_EQ(*GroupingKey(R"({"annotations":{"io.kubernetes.cri.sandbox-id":"pod",
                             "io.containerd.runc.v2.group":"group"}})",
                         "id"),
            "group");
  EXPECT_EQ(*GroupingKey(R"({"annotations":{"io.kubernetes.cri.sandbox-id":"pod"}})", "id"), "pod");
}

TEST(GroupingKey, IsTheIdWithoutAnnotations) {
  EXPECT_EQ(*GroupingKey("", "id"), "id");
  EXPECT_EQ(*GroupingKey("{}", "id"), "id");
  EXPECT_EQ(*GroupingKey(R"({"annotations":{"other":"x"}})", "id"), "id");
  EXPECT_EQ(*GroupingKey(R"({"annotations":null})", "id"), "id");
}

TEST(GroupingKey, RejectsWhatIsNoConfig) {
  EXPECT_FALSE(GroupingKey("{", "id"));
  EXPECT_FALSE(GroupingKey(R"({"annotations":{"io.containerd.runc.v2.group":7}})", "id"));
}

}  // namespace
}  // namespace shim
