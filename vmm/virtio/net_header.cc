#include "vmm/virtio/net_header.h"

namespace vmm::virtio {
namespace {

bool Has(uint64_t features, uint64_t bit) { return (features & bit) != 0; }

bool IsValidSegmentation(const NetHeader& header, uint64_t features) {
  const unsigned ecn = header.gso_type & kNetGsoEcn;
  const unsigned type = header.gso_type & ~unsigned{kNetGsoEcn};
  if (type == kNetGsoNone) return ecn == 0;
  if (ecn != 0 && !Has(features, kNetHostEcn)) return false;
  // Segments get checksums of their own, so there must be one to compute.
  if (header.gso_size == 0 || (header.flags & kNetNeedsCsum) == 0) return false;
  if (type == kNetGsoTcp4) return Has(features, kNetHostTso4);
  if (type == kNetGsoTcp6) return Has(features, kNetHostTso6);
  return false;
}

}  // namespace

bool IsValidTxHeader(const NetHeader& header, size_t frame_bytes, uint64_t features) {
  if (frame_bytes < kMinFrameBytes || frame_bytes > kMaxFrameBytes) return false;
  if ((header.flags & ~unsigned{kNetNeedsCsum}) != 0) return false;
  if (header.hdr_len > frame_bytes) return false;
  if ((header.flags & kNetNeedsCsum) != 0) {
    if (!Has(features, kNetCsum)) return false;
    const size_t checksum_end = size_t{header.csum_start} + header.csum_offset + 2;
    if (header.csum_start < kMinFrameBytes || checksum_end > frame_bytes) return false;
  }
  return IsValidSegmentation(header, features);
}

}  // namespace vmm::virtio
