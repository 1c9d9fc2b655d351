// The mounts of a container, made through the new mount calls (fsopen, open_tree, move_mount): each
// is built detached, given its attributes and only then moved onto a directory that is already held
// open. No path of the container is looked up by the kernel on our behalf.
//
// Thread rule: reentrant; changes the caller's mount namespace, so only the container's init calls.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "oci/spec.h"
#include "runtime/agent/mount_options.h"
#include "runtime/agent/namespaces.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace agent {

struct MountContext {
  base::BorrowedFd root;                       // the container's root
  std::map<size_t, base::UniqueFd> made = {};  // by their places in the spec's mounts
};

// A file system that shows a namespace wants rights over that: sysfs over the network namespace,
// mqueue over the ipc namespace, proc over the pid namespace (mount_namespaces(7),
// user_namespaces(7)). The init of a user namespace has them over its own ones alone; what shows
// the machine's is made by the agent.
struct MadeMount {
  size_t place = 0;  // in the spec's mounts
  base::UniqueFd tree;
};
base::Result<std::vector<MadeMount>> MakeMachineMounts(const NamespacePlan& namespaces,
                                                       const std::vector<oci::Mount>& mounts);

// All of `mounts`, in order. OCI runtime-spec 1.2, config.md "Mounts". A read-only /dev is left
// writable until FinishMounts, because its nodes are made in between.
base::Result<void> ApplyMounts(const MountContext& context, const std::vector<oci::Mount>& mounts);
base::Result<void> FinishMounts(const MountContext& context, const std::vector<oci::Mount>& mounts);

// A new instance of file system `type`, detached.
base::Result<base::UniqueFd> NewFilesystem(const std::string& type, const std::string& source,
                                           const MountOptions& options);
// A detached copy of the mount at the absolute path `source`, or of the one that `source` names.
base::Result<base::UniqueFd> CloneTree(const std::string& source, bool recursive);
base::Result<base::UniqueFd> CloneTree(base::BorrowedFd source, bool recursive);
// Attaches a detached mount on what `target` refers to.
base::Result<void> Attach(base::BorrowedFd mount, base::BorrowedFd target);
// mount_setattr(2) on the mount that `mount` is the root of.
base::Result<void> SetAttributes(base::BorrowedFd mount, uint64_t set, uint64_t clear,
                                 uint64_t propagation, bool recursive);

}  // namespace agent
