#include "runtime/netlink/message.h"

#include <algorithm>

namespace netlink {

Attributes::Attributes(std::span<const std::byte> bytes) {
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.nla_len < sizeof(header) || header.nla_len > bytes.size()) return;
    found_[header.nla_type & NLA_TYPE_MASK] =
        bytes.subspan(sizeof(header), header.nla_len - sizeof(header));
    bytes = bytes.subspan(std::min<size_t>(NLA_ALIGN(header.nla_len), bytes.size()));
  }
}

std::span<const std::byte> Attributes::Bytes(uint16_t type) const {
  const auto found = found_.find(type);
  return found == found_.end() ? std::span<const std::byte>() : found->second;
}

std::string Attributes::Binary(uint16_t type) const {
  const std::span<const std::byte> bytes = Bytes(type);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string Attributes::Text(uint16_t type) const {
  const std::string text = Binary(type);
  return text.substr(0, text.find('\0'));
}

uint32_t Attributes::U32(uint16_t type) const {
  const std::span<const std::byte> bytes = Bytes(type);
  uint32_t value = 0;
  if (bytes.size() >= sizeof(value)) std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

Message::Message(uint16_t type, uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  Append(std::as_bytes(std::span(&header, 1)));
}

void Message::Append(std::span<const std::byte> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

void Message::Add(uint16_t type, std::span<const std::byte> value) {
  const nlattr header{static_cast<uint16_t>(sizeof(nlattr) + value.size()), type};
  Append(std::as_bytes(std::span(&header, 1)));
  Append(value);
}

size_t Message::Begin(uint16_t type) {
  const size_t nest = bytes_.size();
  Add(type, {});
  return nest;
}

void Message::End(size_t nest) { SetU16(nest, static_cast<uint16_t>(bytes_.size() - nest)); }

void Message::SetU16(size_t at, uint16_t value) {
  std::memcpy(bytes_.data() + at, &value, sizeof(value));
}

uint16_t Message::flags() const {
  nlmsghdr header;
  std::memcpy(&header, bytes_.data(), sizeof(header));
  return header.nlmsg_flags;
}

std::span<const std::byte> Message::Finish(uint32_t sequence) {
  nlmsghdr header;
  std::memcpy(&header, bytes_.data(), sizeof(header));
  header.nlmsg_len = static_cast<uint32_t>(bytes_.size());
  header.nlmsg_seq = sequence;
  std::memcpy(bytes_.data(), &header, sizeof(header));
  return bytes_;
}

}  // namespace netlink
