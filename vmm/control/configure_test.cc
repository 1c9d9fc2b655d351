#include "vmm/control/configure.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent-proto/proto/vmm_control.pb.h"

namespace vmm {
namespace {

namespace v1 = pinion::vmm::v1;
using ::testing::HasSubstr;

std::vector<base::UniqueFd> Fds(size_t count) {
  std::vector<base::UniqueFd> fds;
  for (size_t i = 0; i < count; ++i) fds.emplace_back(open("/dev/null", O_RDWR | O_CLOEXEC));
  return fds;
}

v1::Configure Good() {
  v1::Configure message;
  message.set_kernel_fd(0);
  message.set_initrd_fd(-1);
  message.set_console_fd(1);
  message.set_memory_mib(128);
  message.add_vcpus();
  message.add_devices()->mutable_vsock()->set_guest_cid(3);
  message.mutable_devices()->Add()->mutable_blk()->set_fd(2);
  return message;
}

TEST(ReadConfigure, TakesEveryDescriptorOnce) {
  auto config = ReadConfigure(Good(), Fds(3));
  ASSERT_TRUE(config) << config.error().Message();
  EXPECT_TRUE(config->kernel && config->console);
  EXPECT_FALSE(config->initrd);
  EXPECT_EQ(config->memory_bytes, 128ull << 20);
  ASSERT_EQ(config->devices.size(), 2u);
  EXPECT_EQ(std::get<VsockConfig>(config->devices[0]).guest_cid, 3u);
}

TEST(ReadCreateVm, TakesItsDescriptorAndNoOther) {
  v1::CreateVm message;
  auto kvm = ReadCreateVm(message, Fds(1));
  EXPECT_TRUE(kvm && *kvm);
  message.set_kvm_fd(1);
  auto none = ReadCreateVm(message, Fds(1));
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().Message(), HasSubstr("kvm_fd: descriptor 1 of 1"));
}

std::string Refusal(const std::function<void(v1::Configure&)>& change) {
  v1::Configure message = Good();
  change(message);
  auto config = ReadConfigure(message, Fds(3));
  return config ? "accepted" : config.error().Message();
}

TEST(ReadConfigure, RefusesIndicesThatAreNotThere) {
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.set_kernel_fd(3); }), HasSubstr("kernel_fd"));
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.set_initrd_fd(-2); }), HasSubstr("initrd_fd"));
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.set_console_fd(0); }), HasSubstr("is taken"));
}

TEST(ReadConfigure, RefusesANetworkCardWithoutAnAddressOrWithAnOddMtu) {
  const auto net = [](size_t mac_bytes, uint32_t mtu) {
    return [=](v1::Configure& m) {
      v1::Net& card = *m.mutable_devices(1)->mutable_net();
      card.set_fd(2);
      card.set_mac(std::string(mac_bytes, '\2'));
      card.set_mtu(mtu);
    };
  };
  EXPECT_EQ(Refusal(net(6, 65535)), "accepted");
  EXPECT_THAT(Refusal(net(5, 1500)), HasSubstr("net.mac: 5 bytes"));
  EXPECT_THAT(Refusal(net(6, 65536)), HasSubstr("net.mtu: 65536"));
}

TEST(ReadPlugNet, IsJudgedAsACardOfConfigure) {
  v1::PlugNet message;
  v1::Net& card = *message.mutable_net();
  card.set_mac(std::string(6, '\2'));
  card.set_mtu(1400);
  const auto good = ReadPlugNet(message, Fds(1));
  ASSERT_TRUE(good);
  EXPECT_TRUE(good->tap);
  EXPECT_EQ(good->options.mtu, 1400);
  const auto without = ReadPlugNet(message, Fds(0));
  ASSERT_FALSE(without);
  EXPECT_THAT(without.error().Message(), HasSubstr("net.fd"));
  card.set_mtu(1 << 16);
  EXPECT_FALSE(ReadPlugNet(message, Fds(1)));
}

TEST(ReadConfigure, RefusesOddNumbers) {
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.set_memory_mib(0); }), HasSubstr("memory_mib"));
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.set_memory_mib(UINT64_MAX); }),
              HasSubstr("memory_mib"));
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.add_vcpus()->set_index(7); }), HasSubstr("index 7"));
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.add_devices(); }), HasSubstr("kind"));
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.set_cpu_vendor(static_cast<v1::CpuVendor>(9)); }),
              HasSubstr("cpu_vendor"));
}

TEST(ReadConfigure, VcpusThatMayComeFollowThoseThatBoot) {
  v1::Configure message = Good();
  message.add_later_vcpus()->set_index(1);
  message.mutable_later_vcpus(0)->set_core(1);
  auto config = ReadConfigure(message, Fds(3));
  ASSERT_TRUE(config) << config.error().Message();
  ASSERT_EQ(config->vcpus.size(), 2u);
  EXPECT_EQ(config->vcpus[1].core, 1u);
  EXPECT_EQ(config->later_vcpus, 1u);
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.add_later_vcpus(); }), HasSubstr("index 0"));
}

v1::Configure TwoNodes() {
  v1::Configure message = Good();
  message.add_vcpus()->set_index(1);
  message.mutable_vcpus(1)->set_core(1);
  message.mutable_vcpus(1)->set_node(1);
  for (int number = 0; number < 2; ++number) {
    v1::Node& node = *message.add_nodes();
    node.set_memory_mib(64);
    node.add_host_nodes(static_cast<uint32_t>(number) + 2);
    node.add_distances(number == 0 ? 10 : 21);
    node.add_distances(number == 0 ? 21 : 10);
  }
  return message;
}

TEST(ReadConfigure, TakesNodes) {
  auto config = ReadConfigure(TwoNodes(), Fds(3));
  ASSERT_TRUE(config) << config.error().Message();
  ASSERT_EQ(config->nodes.size(), 2u);
  EXPECT_EQ(config->nodes[1].bytes, 64ull << 20);
  EXPECT_EQ(config->nodes[1].host_nodes, std::vector<uint32_t>{3});
  EXPECT_EQ(config->distances[1], (std::vector<uint8_t>{21, 10}));
}

TEST(ReadConfigure, RefusesNodesThatNoTableCanTell) {
  const auto refusal = [](const std::function<void(v1::Configure&)>& change) {
    return Refusal([&](v1::Configure& message) {
      message = TwoNodes();
      change(message);
    });
  };
  EXPECT_THAT(refusal([](v1::Configure& m) { m.mutable_vcpus(1)->set_node(2); }),
              HasSubstr("node 2 of 2"));
  EXPECT_THAT(refusal([](v1::Configure& m) { m.mutable_nodes(1)->clear_distances(); }),
              HasSubstr("0 distances to 2 nodes"));
  EXPECT_THAT(refusal([](v1::Configure& m) { m.mutable_nodes(0)->set_distances(0, 11); }),
              HasSubstr("distance 11 to node 0"));
  EXPECT_THAT(refusal([](v1::Configure& m) { m.mutable_nodes(0)->set_distances(1, 10); }),
              HasSubstr("distance 10 to node 1"));
  EXPECT_THAT(refusal([](v1::Configure& m) { m.mutable_nodes(0)->set_distances(1, 255); }),
              HasSubstr("distance 255"));
  EXPECT_THAT(refusal([](v1::Configure& m) { m.mutable_nodes(0)->set_memory_mib(UINT64_MAX); }),
              HasSubstr("memory_mib"));
  EXPECT_THAT(Refusal([](v1::Configure& m) { m.mutable_vcpus(0)->set_node(1); }),
              HasSubstr("node 1 of 1"));
}

}  // namespace
}  // namespace vmm
