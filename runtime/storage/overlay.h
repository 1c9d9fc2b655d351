// What mount(2) alone does not do for an overlay: more than a page of lower layers, and lower
// layers whose ids are mapped. Thread rule: reentrant, blocks.
#pragma once

#include <string>

#include "runtime/base/result.h"
#include "runtime/storage/mount_options.h"

namespace storage {

// The data of an overlay mount made to fit: relative to `directory`, the deepest common parent of
// its lowerdirs, upperdir and workdir. mount(2) takes less than a page of it.
struct CompactData {
  std::string directory;  // empty: `data` is as it was
  std::string data;
};
CompactData CompactOverlayData(const std::string& data);

// Mounts it on `target`. With options.id_map the lower layers are seen through it; the upper one is
// as it is, for containerd gives it to the container's root (its snapshotters, "remap-ids").
base::Result<void> MountOverlay(const std::string& source, const std::string& target,
                                const MountOptions& options);

}  // namespace storage
