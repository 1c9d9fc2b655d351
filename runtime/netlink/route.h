// Links, addresses, routes and neighbours of a network namespace: read and made, rtnetlink(7).
//
// Addresses of packets are raw bytes in network order, 4 or 16 of them by family; an empty one is
// none. Thread rule and errors: as Socket's, of whose namespace all of it is.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/netlink/socket.h"

namespace netlink {

using MacAddress = std::array<uint8_t, 6>;

struct Link {
  int index = 0;
  std::string name;
  bool ethernet = false;  // ARPHRD_ETHER
  bool up = false;
  MacAddress mac{};
  uint32_t mtu = 0;
  bool ipv6 = false;  // the kernel's IPv6 works on it (sysctl disable_ipv6 is 0)
};

struct Address {
  int link = 0;
  uint8_t family = 0;
  std::string local;
  std::string peer;  // of a point-to-point link; empty: none
  std::string broadcast;
  uint8_t prefix = 0;  // bits of the peer's if there is one
  uint8_t scope = 0;   // RT_SCOPE_*
  uint32_t flags = 0;  // IFA_F_*
  bool operator==(const Address&) const = default;
};

struct NextHop {
  int link = 0;         // 0: none, as of a route that refuses
  std::string gateway;  // may be of the other family (RTA_VIA)
  bool onlink = false;
  uint8_t weight = 0;  // rtnh_hops: one less than what ip(8) shows
  bool operator==(const NextHop&) const = default;
};

struct Route {
  uint8_t family = 0;
  std::string destination;  // empty: the default
  uint8_t prefix = 0;
  std::string preferred_source;
  uint32_t priority = 0;
  uint32_t table = 0;
  uint8_t tos = 0;
  uint8_t scope = 0;                     // RT_SCOPE_*
  uint8_t type = 0;                      // RTN_*
  uint8_t protocol = 0;                  // RTPROT_*
  bool cloned = false;                   // a cache entry
  std::map<uint16_t, uint32_t> metrics;  // RTAX_*
  std::vector<NextHop> next_hops;
  bool operator==(const Route&) const = default;
};

struct Neighbour {
  int link = 0;
  uint8_t family = 0;
  std::string address;
  MacAddress mac{};
  uint16_t state = 0;  // NUD_*
  uint8_t flags = 0;   // NTF_*
  bool operator==(const Neighbour&) const = default;
};

base::Result<std::vector<Link>> ReadLinks(Socket& socket);
base::Result<std::vector<Address>> ReadAddresses(Socket& socket);
base::Result<std::vector<Route>> ReadRoutes(Socket& socket);
base::Result<std::vector<Neighbour>> ReadNeighbours(Socket& socket);

// What is not there stays as it is. The kernel sets a link up first, and makes IPv6 addresses then:
// ipv6_link_local is for a change of its own before that.
struct LinkChange {
  std::optional<std::string> name;
  std::optional<uint32_t> mtu;
  std::optional<bool> up;
  // Whether the kernel makes link-local addresses for it (IN6_ADDR_GEN_MODE_NONE otherwise).
  std::optional<bool> ipv6_link_local;
};
base::Result<void> ChangeLink(Socket& socket, int link, const LinkChange& change);

// EEXIST if it is there.
base::Result<void> AddAddress(Socket& socket, const Address& address);
// Behind others of the same destination and priority; EEXIST if it is there as it is.
base::Result<void> AddRoute(Socket& socket, const Route& route);
// Replaces what is there.
base::Result<void> SetNeighbour(Socket& socket, const Neighbour& neighbour);

}  // namespace netlink
