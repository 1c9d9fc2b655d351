// A network namespace with a pair of veths in it, for tests as root: "pod0", up, is the pod's end.
#pragma once

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/netlink/route.h"

namespace testing_support {

inline base::Result<void> AddVethPair(netlink::Socket& socket, const std::string& name,
                                      const std::string& peer) {
  netlink::Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
  message.AddText(IFLA_IFNAME, name);
  const size_t info = message.Begin(IFLA_LINKINFO);
  message.AddText(IFLA_INFO_KIND, "veth");
  const size_t data = message.Begin(IFLA_INFO_DATA);
  const size_t of_peer = message.Begin(VETH_INFO_PEER);
  const ifinfomsg head{};
  message.Append(std::as_bytes(std::span(&head, 1)));
  message.AddText(IFLA_IFNAME, peer);
  message.End(of_peer);
  message.End(data);
  message.End(info);
  return socket.Do(std::move(message));
}

// By name; index 0 if there is none.
inline netlink::Link LinkOf(netlink::Socket& socket, const std::string& name) {
  const auto links = netlink::ReadLinks(socket);
  if (!links) return {};
  const auto found = std::find_if(links->begin(), links->end(),
                                  [&](const netlink::Link& link) { return link.name == name; });
  return found == links->end() ? netlink::Link{} : *found;
}

}  // namespace testing_support
