#include "runtime/network/traffic_control.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <utility>

namespace network {
namespace {

using netlink::Message;

constexpr uint32_t kIngressHandle = TC_H_MAKE(TC_H_INGRESS, 0);
constexpr uint16_t kFirstAction = 1;
constexpr uint32_t kPriority = 1;

tcmsg IngressOf(int link) {
  tcmsg head{};
  head.tcm_ifindex = link;
  head.tcm_parent = TC_H_INGRESS;
  head.tcm_handle = kIngressHandle;
  return head;
}

// A u32 filter that any frame matches: u32 is in more kernels than matchall.
void AddMatchAll(Message& message) {
  // One key behind it that masks everything out. By bytes, as clang makes no tc_u32_sel, which ends
  // in an array of none.
  std::array<std::byte, sizeof(tc_u32_sel) + sizeof(tc_u32_key)> selector{};
  selector[offsetof(tc_u32_sel, flags)] = std::byte{TC_U32_TERMINAL};
  selector[offsetof(tc_u32_sel, nkeys)] = std::byte{1};
  message.Add(TCA_U32_SEL, selector);
}

void AddMirred(Message& message, int to) {
  const size_t action = message.Begin(kFirstAction);
  message.AddText(TCA_ACT_KIND, "mirred");
  const size_t options = message.Begin(TCA_ACT_OPTIONS);
  tc_mirred parameters{};
  parameters.action = TC_ACT_STOLEN;
  parameters.eaction = TCA_EGRESS_REDIR;
  parameters.ifindex = static_cast<uint32_t>(to);
  message.AddValue(TCA_MIRRED_PARMS, parameters);
  message.End(options);
  message.End(action);
}

}  // namespace

base::Result<bool> HasIngress(netlink::Socket& socket, int link) {
  tcmsg head{};
  head.tcm_ifindex = link;
  const std::vector<netlink::Reply> disciplines =
      TRY(socket.Dump(Message(RTM_GETQDISC, NLM_F_DUMP, head)), "queueing disciplines");
  for (const netlink::Reply& reply : disciplines) {
    const auto one = reply.Head<tcmsg>();
    // clsact and ingress have the same place.
    if (one.tcm_ifindex == link && one.tcm_parent == TC_H_INGRESS) return true;
  }
  return false;
}

base::Result<void> AddIngress(netlink::Socket& socket, int link) {
  Message discipline(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, IngressOf(link));
  discipline.AddText(TCA_KIND, "ingress");
  TRY(socket.Do(std::move(discipline)), "ingress (kernel module sch_ingress)");
  return base::Ok();
}

base::Result<void> AddRedirect(netlink::Socket& socket, int from, int to) {
  tcmsg head{};
  head.tcm_ifindex = from;
  head.tcm_parent = kIngressHandle;
  head.tcm_info = TC_H_MAKE(kPriority << 16, htons(ETH_P_ALL));
  Message filter(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, head);
  filter.AddText(TCA_KIND, "u32");
  const size_t options = filter.Begin(TCA_OPTIONS);
  AddMatchAll(filter);
  const size_t actions = filter.Begin(TCA_U32_ACT);
  AddMirred(filter, to);
  filter.End(actions);
  filter.End(options);
  TRY(socket.Do(std::move(filter)), "redirect (kernel modules cls_u32, act_mirred)");
  return base::Ok();
}

base::Result<void> RemoveIngress(netlink::Socket& socket, int link) {
  Message message(RTM_DELQDISC, 0, IngressOf(link));
  base::Result<void> removed = socket.Do(std::move(message));
  if (removed) return removed;
  // ENODEV: the link went, and its filters with it. EINVAL: an ingress that is not there.
  const int error = removed.error().error_number();
  if (error == ENOENT || error == ENODEV || error == EINVAL) return base::Ok();
  removed.error().Push(__FILE__, __LINE__, "remove ingress");
  return removed;
}

}  // namespace network
