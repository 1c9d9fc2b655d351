// On network namespaces of our own; needs root.
#include "runtime/network/pod_network.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/network/netns.h"
#include "runtime/network/traffic_control.h"
#include "tests/support/network_namespace.h"

namespace network {
namespace {

using netlink::Socket;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing_support::AddVethPair;
using testing_support::LinkOf;

constexpr size_t kHeaderBytes = 12;

std::string Ip4(uint8_t last) { return {10, 1, 2, static_cast<char>(last)}; }

class PodNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = MakeNamespace();
    if (!made) GTEST_SKIP() << "no network namespace: needs root";
    ns_ = std::move(*made);
    const auto filled = Inside([this](Socket& socket) -> base::Result<void> {
      TRY(AddVethPair(socket, "eth0", "outside"));
      pod_ = LinkOf(socket, "eth0").index;
      outside_ = LinkOf(socket, "outside").index;
      for (const int link : {outside_, pod_}) {
        TRY(netlink::ChangeLink(socket, link, {.ipv6_link_local = false}));
      }
      TRY(netlink::ChangeLink(socket, pod_, {.mtu = 1400, .up = true}));
      TRY(netlink::AddAddress(socket, {.link = pod_,
                                       .family = AF_INET,
                                       .local = Ip4(3),
                                       .prefix = 24,
                                       .flags = IFA_F_PERMANENT}));
      return netlink::AddRoute(socket, {.family = AF_INET,
                                        .table = RT_TABLE_MAIN,
                                        .type = RTN_UNICAST,
                                        .protocol = RTPROT_BOOT,
                                        .next_hops = {{.link = pod_, .gateway = Ip4(1)}}});
    });
    if (!filled) GTEST_SKIP() << "no veth: " << filled.error().Message();
  }
  base::Result<void> Inside(const std::function<base::Result<void>(Socket&)>& work) {
    return RunIn(ns_, [&]() -> base::Result<void> {
      Socket socket = TRY(Socket::Open());
      return work(socket);
    });
  }
  // Only "outside" is left to the others: the pod must not take it for one of its links.
  void HideOutside() {
    auto other = MakeNamespace();
    ASSERT_TRUE(other);
    elsewhere_ = std::move(*other);
    ASSERT_TRUE(Inside([this](Socket& socket) -> base::Result<void> {
      ifinfomsg head{};
      head.ifi_index = outside_;
      netlink::Message message(RTM_NEWLINK, 0, head);
      message.AddValue(IFLA_NET_NS_FD, elsewhere_.get());
      return socket.Do(std::move(message));
    }));
    ASSERT_TRUE(RunIn(elsewhere_, [this]() -> base::Result<void> {
      Socket socket = TRY(Socket::Open());
      outside_ = LinkOf(socket, "outside").index;
      TRY(netlink::ChangeLink(socket, outside_, {.ipv6_link_local = false}));
      return netlink::ChangeLink(socket, outside_, {.up = true});
    }));
  }
  Survey Look() {
    auto survey = SurveyNamespace(ns_);
    EXPECT_TRUE(survey) << survey.error().Message();
    return survey ? std::move(*survey) : Survey();
  }
  std::string Refusal() {
    const auto survey = SurveyNamespace(ns_);
    return survey ? "accepted" : survey.error().Message();
  }
  // What comes out of the other end of the pod's link.
  base::UniqueFd ListenOutside() {
    base::UniqueFd socket_fd;
    EXPECT_TRUE(RunIn(elsewhere_, [&]() -> base::Result<void> {
      socket_fd.Reset(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
      sockaddr_ll address{};
      address.sll_family = AF_PACKET;
      address.sll_protocol = htons(ETH_P_ALL);
      address.sll_ifindex = outside_;
      if (bind(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
        return base::ErrnoError("bind");
      }
      return base::Ok();
    }));
    return socket_fd;
  }
  bool Taken() {
    bool taken = false;
    EXPECT_TRUE(Inside([&](Socket& socket) -> base::Result<void> {
      taken = TRY(HasIngress(socket, pod_));
      return base::Ok();
    }));
    return taken;
  }
  std::string PathOf(const base::UniqueFd& ns) {
    return "/proc/self/fd/" + std::to_string(ns.get());
  }

  base::UniqueFd ns_;
  base::UniqueFd elsewhere_;
  int pod_ = 0;
  int outside_ = 0;
};

// A frame of `bytes` that nobody else sends.
std::string Frame(size_t bytes) {
  std::string frame(bytes, 'x');
  frame.replace(0, 14, std::string("\2\0\0\0\0\1\2\0\0\0\0\2\x88\xb5", 14));
  return frame;
}

// Waits for `frame` on `fd`, behind `skip` bytes, past what else comes.
bool Arrives(base::BorrowedFd fd, const std::string& frame, size_t skip) {
  std::string buffer(70000, '\0');
  pollfd poll_fd{fd.get(), POLLIN, 0};
  while (poll(&poll_fd, 1, 10000) == 1) {
    const ssize_t bytes = read(fd.get(), buffer.data(), buffer.size());
    if (bytes < 0) return false;
    if (std::string_view(buffer).substr(0, static_cast<size_t>(bytes)).substr(skip) == frame) {
      return true;
    }
  }
  return false;
}

TEST_F(PodNetworkTest, FindsWhatCniMade) {
  HideOutside();
  const Survey survey = Look();
  ASSERT_THAT(survey.cards, SizeIs(1));
  EXPECT_EQ(survey.cards[0].link.name, "eth0");
  EXPECT_EQ(survey.cards[0].link.mtu, 1400u);
  ASSERT_THAT(survey.cards[0].addresses, SizeIs(1));
  EXPECT_EQ(survey.cards[0].addresses[0].local, Ip4(3));
  // The subnet's, which the kernel made, before the one that needs it.
  ASSERT_THAT(survey.routes, SizeIs(2));
  EXPECT_EQ(survey.routes[0].prefix, 24);
  EXPECT_EQ(survey.routes[1].next_hops[0].gateway, Ip4(1));
}

TEST_F(PodNetworkTest, EmptyNamespaceHasNothing) {
  const auto empty = MakeNamespace();
  ASSERT_TRUE(empty);
  const auto survey = SurveyNamespace(*empty);
  ASSERT_TRUE(survey) << survey.error().Message();
  EXPECT_THAT(survey->cards, IsEmpty());
  EXPECT_THAT(survey->routes, IsEmpty());
}

TEST_F(PodNetworkTest, OnlyLastingNeighboursAreTaken) {
  HideOutside();
  ASSERT_TRUE(Inside([this](Socket& socket) -> base::Result<void> {
    netlink::Neighbour neighbour{.link = pod_,
                                 .family = AF_INET,
                                 .address = Ip4(1),
                                 .mac = {2, 0, 0, 0, 0, 1},
                                 .state = NUD_PERMANENT};
    TRY(netlink::SetNeighbour(socket, neighbour));
    neighbour.address = Ip4(2);
    neighbour.state = NUD_STALE;
    return netlink::SetNeighbour(socket, neighbour);
  }));
  const Survey survey = Look();
  ASSERT_THAT(survey.cards[0].neighbours, SizeIs(1));
  EXPECT_EQ(survey.cards[0].neighbours[0].address, Ip4(1));
}

TEST_F(PodNetworkTest, RoutesOfOtherTablesAreANote) {
  HideOutside();
  ASSERT_TRUE(Inside([this](Socket& socket) {
    return netlink::AddRoute(socket, {.family = AF_INET,
                                      .table = 100,
                                      .type = RTN_UNICAST,
                                      .protocol = RTPROT_BOOT,
                                      .next_hops = {{.link = pod_, .gateway = Ip4(1)}}});
  }));
  const Survey survey = Look();
  EXPECT_THAT(survey.routes, SizeIs(2));
  EXPECT_THAT(survey.notes, ElementsAre(HasSubstr("1 routes of other tables")));
}

TEST_F(PodNetworkTest, LinkThatIsDownIsANote) {
  HideOutside();
  ASSERT_TRUE(
      Inside([this](Socket& socket) { return netlink::ChangeLink(socket, pod_, {.up = false}); }));
  const Survey survey = Look();
  EXPECT_THAT(survey.cards, IsEmpty());
  EXPECT_THAT(survey.routes, IsEmpty());
  EXPECT_THAT(survey.notes, ElementsAre(HasSubstr("eth0 is down")));
}

TEST_F(PodNetworkTest, MoreLinksThanCardsAreRefused) {
  HideOutside();
  ASSERT_TRUE(Inside([](Socket& socket) -> base::Result<void> {
    for (const auto& [name, peer] : {std::pair("a0", "a1"), std::pair("b0", "b1")}) {
      TRY(AddVethPair(socket, name, peer));
      for (const char* one : {name, peer}) {
        TRY(netlink::ChangeLink(socket, LinkOf(socket, one).index, {.up = true}));
      }
    }
    return base::Ok();
  }));
  EXPECT_THAT(Refusal(), HasSubstr("at most 3 network cards"));
}

TEST_F(PodNetworkTest, FramesGoBothWaysAndTheKernelOfTheNamespaceSeesNone) {
  HideOutside();
  const base::UniqueFd outside = ListenOutside();
  auto taps = Join(ns_, Look());
  ASSERT_TRUE(taps) << taps.error().Message();
  ASSERT_THAT(*taps, SizeIs(1));
  const base::UniqueFd& tap = (*taps)[0];

  const std::string in = Frame(60);
  ASSERT_EQ(send(outside.get(), in.data(), in.size(), 0), 60);
  EXPECT_TRUE(Arrives(tap, in, kHeaderBytes));
  const std::string out = Frame(1414);
  const std::string with_header = std::string(kHeaderBytes, '\0') + out;
  ASSERT_EQ(write(tap.get(), with_header.data(), with_header.size()),
            static_cast<ssize_t>(with_header.size()));
  EXPECT_TRUE(Arrives(outside, out, 0));

  // Who has 10.1.2.3? The namespace does, and keeps silent: the question reaches the guest.
  std::string question("\xff\xff\xff\xff\xff\xff\2\0\0\0\0\2\x08\x06\0\1\x08\0\6\4\0\1", 22);
  question += std::string("\2\0\0\0\0\2\x0a\1\2\1\0\0\0\0\0\0\x0a\1\2\3", 20);
  question.resize(60, '\0');
  ASSERT_EQ(send(outside.get(), question.data(), question.size(), 0), 60);
  EXPECT_TRUE(Arrives(tap, question, kHeaderBytes));
  // An answer would have been sent by then: it is made where the redirect is.
  std::string buffer(2000, '\0');
  while (recv(outside.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
    EXPECT_NE(buffer.substr(12, 2) + buffer.substr(20, 2), std::string("\x08\x06\0\2", 4));
  }
}

TEST_F(PodNetworkTest, SecondMachineInANamespaceIsRefused) {
  HideOutside();
  const Survey survey = Look();
  const auto taps = Join(ns_, survey);
  ASSERT_TRUE(taps) << taps.error().Message();
  EXPECT_THAT(Refusal(), HasSubstr("link eth0: it has filters"));
  // And if both looked before either joined: the first keeps what it has.
  const auto again = Join(ns_, survey);
  ASSERT_FALSE(again);
  EXPECT_TRUE(Taken());
}

TEST_F(PodNetworkTest, LeaveTakesTheFiltersAndTheTapGoesWithItsDescriptor) {
  HideOutside();
  auto taps = Join(ns_, Look());
  ASSERT_TRUE(taps) << taps.error().Message();
  const auto identity = IdentityOf(ns_);
  ASSERT_TRUE(identity);
  EXPECT_TRUE(Leave(PathOf(ns_), *identity + 1, {"eth0"}));
  EXPECT_TRUE(Taken()) << "another namespace under that path is not touched";
  EXPECT_TRUE(Leave(PathOf(ns_), *identity, {"eth0", "gone"}));
  EXPECT_TRUE(Leave(PathOf(ns_), *identity, {"eth0"}));
  EXPECT_FALSE(Taken());
  taps->clear();
  ASSERT_TRUE(Inside([](Socket& socket) -> base::Result<void> {
    EXPECT_EQ(LinkOf(socket, "pinion0").index, 0);
    return base::Ok();
  }));
  EXPECT_TRUE(Join(ns_, Look())) << "as new";
  EXPECT_TRUE(Leave("/no/such/path", *identity, {"eth0"}));
  EXPECT_TRUE(Leave("/dev/null", *identity, {"eth0"})) << "a path that is no namespace any more";
}

TEST_F(PodNetworkTest, LeaveThatCannotLookIsAnErrorAndNotDone) {
  HideOutside();
  auto taps = Join(ns_, Look());
  ASSERT_TRUE(taps) << taps.error().Message();
  const auto identity = IdentityOf(ns_);
  ASSERT_TRUE(identity);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto left = Leave(PathOf(ns_), *identity, {"eth0"});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().error_number(), EMFILE);
  EXPECT_TRUE(Leave(PathOf(ns_), *identity, {"eth0"}));
  EXPECT_FALSE(Taken());
}

TEST(Namespace, SomethingElseIsRefused) {
  EXPECT_FALSE(OpenNamespace("/no/such/path"));
  EXPECT_FALSE(OpenNamespace("/dev/null"));
  const auto mount = OpenNamespace("/proc/self/ns/mnt");
  ASSERT_FALSE(mount);
  EXPECT_THAT(mount.error().Message(), HasSubstr("not a network namespace"));
}

TEST(Namespace, FailureInsideComesBackAndTheCallerStays) {
  const auto before = IdentityOf(*OwnNamespace());
  const auto made = MakeNamespace();
  if (!made) GTEST_SKIP() << "no network namespace: needs root";
  const auto result = RunIn(*made, []() -> base::Result<void> {
    return base::MakeError(base::Code::kAborted, "inside");
  });
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().Message(), HasSubstr("inside"));
  EXPECT_EQ(*IdentityOf(*OwnNamespace()), *before);
  EXPECT_NE(*IdentityOf(*made), *before);
}

}  // namespace
}  // namespace network
