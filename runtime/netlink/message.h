// One netlink message: made, or taken apart (Linux Documentation/userspace-api/netlink/intro.rst).
// Thread rule: thread-bound values.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace netlink {

// Attributes of a message or of a nest, by type; of several alike the last. Borrows the bytes. What
// does not fit its own length ends the list.
class Attributes {
 public:
  Attributes() = default;
  explicit Attributes(std::span<const std::byte> bytes);

  bool Has(uint16_t type) const { return found_.count(type) != 0; }
  // Empty if it is not there.
  std::span<const std::byte> Bytes(uint16_t type) const;
  Attributes Nest(uint16_t type) const { return Attributes(Bytes(type)); }
  // The bytes as they are, and those up to the first NUL.
  std::string Binary(uint16_t type) const;
  std::string Text(uint16_t type) const;
  // 0 if it is not there, or shorter.
  uint32_t U32(uint16_t type) const;
  const std::map<uint16_t, std::span<const std::byte>>& all() const { return found_; }

 private:
  std::map<uint16_t, std::span<const std::byte>> found_;
};

// What came: `type` of nlmsghdr, and what is behind it.
struct Reply {
  uint16_t type = 0;
  std::vector<std::byte> payload;

  // The family's fixed structure; zeros if the payload is shorter.
  template <class T>
  T Head() const {
    T head{};
    if (payload.size() >= sizeof(T)) std::memcpy(&head, payload.data(), sizeof(T));
    return head;
  }
  template <class T>
  Attributes After() const {
    constexpr size_t kOffset = NLMSG_ALIGN(sizeof(T));
    if (payload.size() < kOffset) return {};
    return Attributes(std::span(payload).subspan(kOffset));
  }
};

class Message {
 public:
  // `head`: the family's fixed structure. NLM_F_REQUEST is added to `flags`.
  template <class T>
  Message(uint16_t type, uint16_t flags, const T& head) : Message(type, flags) {
    Append(std::as_bytes(std::span(&head, 1)));
  }

  void Add(uint16_t type, std::span<const std::byte> value);
  void AddBinary(uint16_t type, std::string_view value) {
    Add(type, std::as_bytes(std::span(value)));
  }
  void AddText(uint16_t type, std::string_view value) {
    AddBinary(type, std::string(value) + '\0');
  }
  template <class T>
  void AddValue(uint16_t type, const T& value) {
    Add(type, std::as_bytes(std::span(&value, 1)));
  }
  // Attributes added between the two are inside. End takes what Begin gave.
  [[nodiscard]] size_t Begin(uint16_t type);
  void End(size_t nest);
  // Fixed bytes inside of a nest that are no attribute, as rtnexthop is.
  void Append(std::span<const std::byte> bytes);
  size_t size() const { return bytes_.size(); }
  // Overwrites the 16 bits at `at`.
  void SetU16(size_t at, uint16_t value);
  // Of the header.
  uint16_t flags() const;

  // With `sequence` and its length in the header.
  std::span<const std::byte> Finish(uint32_t sequence);

 private:
  Message(uint16_t type, uint16_t flags);
  std::vector<std::byte> bytes_;
};

}  // namespace netlink
