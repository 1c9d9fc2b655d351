#include "runtime/network/port_listener.h"

#include <linux/bpf.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "runtime/network/netns.h"

namespace network {
namespace {

constexpr int kBacklog = 128;
constexpr char kLicense[] = "Apache-2.0";

base::Result<base::UniqueFd> Bpf(int command, bpf_attr& attributes, const char* what) {
  const long fd = syscall(SYS_bpf, command, &attributes, sizeof(attributes));
  if (fd < 0) return base::ErrnoError("{}", what);
  return base::UniqueFd(static_cast<int>(fd));
}

bpf_insn Instruction(int code, uint8_t destination, uint8_t source, int16_t offset,
                     int32_t immediate) {
  bpf_insn instruction{};
  instruction.code = static_cast<uint8_t>(code);
  instruction.dst_reg = destination & 0xf;
  instruction.src_reg = source & 0xf;
  instruction.off = offset;
  instruction.imm = immediate;
  return instruction;
}

bpf_insn Copy(uint8_t destination, uint8_t source) {
  return Instruction(BPF_ALU64 | BPF_MOV | BPF_X, destination, source, 0, 0);
}

bpf_insn Set(uint8_t destination, int32_t value) {
  return Instruction(BPF_ALU64 | BPF_MOV | BPF_K, destination, 0, 0, value);
}

bpf_insn Call(int function) { return Instruction(BPF_JMP | BPF_CALL, 0, 0, 0, function); }

// int lookup(struct bpf_sk_lookup *ctx): if it is TCP, assign the socket in `map`; go on in any
// case.
std::vector<bpf_insn> Program(base::BorrowedFd map) {
  constexpr auto kProtocol = static_cast<int16_t>(offsetof(bpf_sk_lookup, protocol));
  constexpr int16_t kKey = -4;  // on the stack
  return {
      Copy(BPF_REG_6, BPF_REG_1),
      Instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_6, kProtocol, 0),
      Instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 14, IPPROTO_TCP),
      Instruction(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, kKey, 0),
      Copy(BPF_REG_2, BPF_REG_10),
      Instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, kKey),
      Instruction(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map.get()),
      Instruction(0, 0, 0, 0, 0),  // the second half of the one before
      Call(BPF_FUNC_map_lookup_elem),
      Instruction(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 7, 0),
      Copy(BPF_REG_7, BPF_REG_0),
      Copy(BPF_REG_1, BPF_REG_6),
      Copy(BPF_REG_2, BPF_REG_7),
      Set(BPF_REG_3, 0),
      Call(BPF_FUNC_sk_assign),
      Copy(BPF_REG_1, BPF_REG_7),
      Call(BPF_FUNC_sk_release),
      Set(BPF_REG_0, SK_PASS),
      Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
}

base::Result<base::UniqueFd> Listen() {
  // Of both families, or of IPv4 on a kernel without IPv6.
  base::UniqueFd fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in6 any6{};
  any6.sin6_family = AF_INET6;
  const int off = 0;
  if (fd && setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0 &&
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&any6), sizeof(any6)) == 0 &&
      listen(fd.get(), kBacklog) == 0) {
    return fd;
  }
  fd.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in any4{};
  any4.sin_family = AF_INET;
  if (!fd || bind(fd.get(), reinterpret_cast<const sockaddr*>(&any4), sizeof(any4)) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return base::ErrnoError("listen");
  }
  return fd;
}

base::Result<base::UniqueFd> MapOf(base::BorrowedFd listener) {
  bpf_attr create{};
  create.map_type = BPF_MAP_TYPE_SOCKMAP;
  create.key_size = sizeof(uint32_t);
  create.value_size = sizeof(uint64_t);
  create.max_entries = 1;
  base::UniqueFd map = TRY(Bpf(BPF_MAP_CREATE, create, "a map of sockets"));
  const uint32_t key = 0;
  const uint64_t value = static_cast<uint64_t>(listener.get());
  bpf_attr update{};
  update.map_fd = static_cast<uint32_t>(map.get());
  update.key = reinterpret_cast<uint64_t>(&key);
  update.value = reinterpret_cast<uint64_t>(&value);
  if (syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &update, sizeof(update)) != 0) {
    return base::ErrnoError("put the listening socket into a map");
  }
  return map;
}

}  // namespace

base::Result<PortListener> ListenToAllPorts(base::BorrowedFd ns) {
  PortListener listener;
  base::Result<void> listening = RunIn(ns, [&listener]() -> base::Result<void> {
    listener.socket = TRY(Listen());
    return base::Ok();
  });
  if (!listening) return std::move(listening.error());
  const base::UniqueFd map = TRY(MapOf(listener.socket));
  const std::vector<bpf_insn> program = Program(map);
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_SK_LOOKUP;
  load.expected_attach_type = BPF_SK_LOOKUP;
  load.insns = reinterpret_cast<uint64_t>(program.data());
  load.insn_cnt = static_cast<uint32_t>(program.size());
  load.license = reinterpret_cast<uint64_t>(kLicense);
  const base::UniqueFd loaded = TRY(Bpf(BPF_PROG_LOAD, load, "load a program of type sk_lookup"));
  bpf_attr attach{};
  attach.link_create.prog_fd = static_cast<uint32_t>(loaded.get());
  attach.link_create.target_fd = static_cast<uint32_t>(ns.get());
  attach.link_create.attach_type = BPF_SK_LOOKUP;
  listener.link = TRY(Bpf(BPF_LINK_CREATE, attach, "attach to the network namespace"));
  return listener;
}

}  // namespace network
