#include "runtime/netlink/message.h"

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>

namespace netlink {
namespace {

TEST(Message, ComesApartAsItWasMade) {
  ifinfomsg head{};
  head.ifi_index = 7;
  Message message(RTM_NEWLINK, NLM_F_ACK, head);
  message.AddText(IFLA_IFNAME, "eth0");
  const size_t nest = message.Begin(IFLA_LINKINFO);
  message.AddBinary(IFLA_INFO_KIND, "odd");
  message.AddValue(IFLA_INFO_DATA, uint32_t{0x01020304});
  message.End(nest);
  message.AddValue(IFLA_MTU, uint32_t{1400});
  const auto bytes = message.Finish(42);
  nlmsghdr header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  EXPECT_EQ(header.nlmsg_len, bytes.size());
  EXPECT_EQ(header.nlmsg_seq, 42u);
  EXPECT_EQ(header.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);

  const auto payload = bytes.subspan(sizeof(header));
  const Reply reply{RTM_NEWLINK, {payload.begin(), payload.end()}};
  EXPECT_EQ(reply.Head<ifinfomsg>().ifi_index, 7);
  const auto attributes = reply.After<ifinfomsg>();
  EXPECT_EQ(attributes.Text(IFLA_IFNAME), "eth0");
  EXPECT_EQ(attributes.U32(IFLA_MTU), 1400u);
  EXPECT_EQ(attributes.Nest(IFLA_LINKINFO).Binary(IFLA_INFO_KIND), "odd");
  EXPECT_EQ(attributes.Nest(IFLA_LINKINFO).U32(IFLA_INFO_DATA), 0x01020304u);
  EXPECT_FALSE(attributes.Has(IFLA_ADDRESS));
}

std::vector<std::byte> Attribute(uint16_t length, uint16_t type, size_t bytes) {
  std::vector<std::byte> out(bytes);
  const nlattr header{length, type};
  std::memcpy(out.data(), &header, std::min(bytes, sizeof(header)));
  return out;
}

TEST(Attributes, WhatDoesNotFitEndsTheList) {
  EXPECT_TRUE(Attributes(Attribute(9, 1, 8)).all().empty());
  EXPECT_TRUE(Attributes(Attribute(3, 1, 8)).all().empty());
  EXPECT_TRUE(Attributes(Attribute(0, 1, 8)).all().empty());
  EXPECT_TRUE(Attributes(Attribute(4, 1, 3)).all().empty());
  EXPECT_EQ(Attributes(Attribute(7, 1, 7)).Bytes(1).size(), 3u);
  EXPECT_EQ(Attributes(Attribute(7, 1, 7)).U32(1), 0u);
}

TEST(Reply, ShorterThanItsHeadIsZeros) {
  const Reply reply{RTM_NEWLINK, std::vector<std::byte>(3, std::byte{0xff})};
  EXPECT_EQ(reply.Head<ifinfomsg>().ifi_index, 0);
  EXPECT_TRUE(reply.After<ifinfomsg>().all().empty());
}

}  // namespace
}  // namespace netlink
