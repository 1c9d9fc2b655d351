// The JSON names of every struct's members, once, for the reader and the writer alike. Internal to
// oci: included by parse.cc and serialise.cc only. Names: OCI runtime-spec 1.2, config.md and
// config-linux.md; schema/*.json.
#pragma once

#include <tuple>

#include "oci/spec.h"

namespace oci {

template <class Struct, class Member>
struct Field {
  const char* name;
  Member Struct::*member;
};
template <class Struct, class Member>
Field(const char*, Member Struct::*) -> Field<Struct, Member>;

template <class Struct>
struct FieldsOf {};

// FIELDS(Root, Field{"path", &Root::path}, …): specialises FieldsOf<Root>.
#define FIELDS(Struct, ...)                                  \
  template <>                                                \
  struct FieldsOf<Struct> {                                  \
    using S = Struct;                                        \
    static constexpr auto kFields = std::tuple{__VA_ARGS__}; \
  }

FIELDS(ConsoleSize, Field{"height", &S::height}, Field{"width", &S::width});
FIELDS(User, Field{"uid", &S::uid}, Field{"gid", &S::gid}, Field{"umask", &S::umask},
       Field{"additionalGids", &S::additional_gids}, Field{"username", &S::username});
FIELDS(Capabilities, Field{"bounding", &S::bounding}, Field{"effective", &S::effective},
       Field{"inheritable", &S::inheritable}, Field{"permitted", &S::permitted},
       Field{"ambient", &S::ambient});
FIELDS(Rlimit, Field{"type", &S::type}, Field{"soft", &S::soft}, Field{"hard", &S::hard});
FIELDS(Scheduler, Field{"policy", &S::policy}, Field{"nice", &S::nice},
       Field{"priority", &S::priority}, Field{"flags", &S::flags}, Field{"runtime", &S::runtime_ns},
       Field{"deadline", &S::deadline_ns}, Field{"period", &S::period_ns});
FIELDS(IoPriority, Field{"class", &S::io_class}, Field{"priority", &S::priority});
FIELDS(ExecCpuAffinity, Field{"initial", &S::initial}, Field{"final", &S::final_set});
FIELDS(Process, Field{"terminal", &S::terminal}, Field{"consoleSize", &S::console_size},
       Field{"user", &S::user}, Field{"args", &S::args}, Field{"env", &S::env},
       Field{"cwd", &S::cwd}, Field{"capabilities", &S::capabilities},
       Field{"rlimits", &S::rlimits}, Field{"noNewPrivileges", &S::no_new_privileges},
       Field{"apparmorProfile", &S::apparmor_profile}, Field{"oomScoreAdj", &S::oom_score_adj},
       Field{"selinuxLabel", &S::selinux_label}, Field{"scheduler", &S::scheduler},
       Field{"ioPriority", &S::io_priority}, Field{"execCPUAffinity", &S::exec_cpu_affinity});
FIELDS(Hook, Field{"path", &S::path}, Field{"args", &S::args}, Field{"env", &S::env},
       Field{"timeout", &S::timeout_seconds});
FIELDS(Hooks, Field{"prestart", &S::prestart}, Field{"createRuntime", &S::create_runtime},
       Field{"createContainer", &S::create_container}, Field{"startContainer", &S::start_container},
       Field{"poststart", &S::poststart}, Field{"poststop", &S::poststop});

FIELDS(DeviceRule, Field{"allow", &S::allow}, Field{"type", &S::type}, Field{"major", &S::major},
       Field{"minor", &S::minor}, Field{"access", &S::access});
FIELDS(MemoryLimits, Field{"limit", &S::limit}, Field{"reservation", &S::reservation},
       Field{"swap", &S::swap}, Field{"kernel", &S::kernel}, Field{"kernelTCP", &S::kernel_tcp},
       Field{"swappiness", &S::swappiness}, Field{"disableOOMKiller", &S::disable_oom_killer},
       Field{"useHierarchy", &S::use_hierarchy},
       Field{"checkBeforeUpdate", &S::check_before_update});
FIELDS(CpuLimits, Field{"shares", &S::shares}, Field{"quota", &S::quota_us},
       Field{"period", &S::period_us}, Field{"burst", &S::burst_us},
       Field{"realtimeRuntime", &S::realtime_runtime_us},
       Field{"realtimePeriod", &S::realtime_period_us}, Field{"cpus", &S::cpus},
       Field{"mems", &S::mems}, Field{"idle", &S::idle});
FIELDS(PidsLimit, Field{"limit", &S::limit});
FIELDS(WeightDevice, Field{"major", &S::major}, Field{"minor", &S::minor},
       Field{"weight", &S::weight}, Field{"leafWeight", &S::leaf_weight});
FIELDS(ThrottleDevice, Field{"major", &S::major}, Field{"minor", &S::minor},
       Field{"rate", &S::rate});
FIELDS(BlockIoLimits, Field{"weight", &S::weight}, Field{"leafWeight", &S::leaf_weight},
       Field{"weightDevice", &S::weight_device},
       Field{"throttleReadBpsDevice", &S::throttle_read_bps},
       Field{"throttleWriteBpsDevice", &S::throttle_write_bps},
       Field{"throttleReadIOPSDevice", &S::throttle_read_iops},
       Field{"throttleWriteIOPSDevice", &S::throttle_write_iops});
FIELDS(HugepageLimit, Field{"pageSize", &S::page_size}, Field{"limit", &S::limit});
FIELDS(NetworkPriority, Field{"name", &S::name}, Field{"priority", &S::priority});
FIELDS(NetworkLimits, Field{"classID", &S::class_id}, Field{"priorities", &S::priorities});
FIELDS(RdmaLimit, Field{"hcaHandles", &S::hca_handles}, Field{"hcaObjects", &S::hca_objects});
FIELDS(Resources, Field{"devices", &S::devices}, Field{"memory", &S::memory}, Field{"cpu", &S::cpu},
       Field{"pids", &S::pids}, Field{"blockIO", &S::block_io},
       Field{"hugepageLimits", &S::hugepage_limits}, Field{"network", &S::network},
       Field{"rdma", &S::rdma}, Field{"unified", &S::unified});

FIELDS(IdMapping, Field{"containerID", &S::container_id}, Field{"hostID", &S::host_id},
       Field{"size", &S::size});
FIELDS(Namespace, Field{"type", &S::type}, Field{"path", &S::path});
FIELDS(Device, Field{"path", &S::path}, Field{"type", &S::type}, Field{"major", &S::major},
       Field{"minor", &S::minor}, Field{"fileMode", &S::file_mode}, Field{"uid", &S::uid},
       Field{"gid", &S::gid});
FIELDS(SeccompArgument, Field{"index", &S::index}, Field{"value", &S::value},
       Field{"valueTwo", &S::value_two}, Field{"op", &S::op});
FIELDS(SeccompRule, Field{"names", &S::names}, Field{"action", &S::action},
       Field{"errnoRet", &S::errno_ret}, Field{"args", &S::args});
FIELDS(Seccomp, Field{"defaultAction", &S::default_action},
       Field{"defaultErrnoRet", &S::default_errno_ret}, Field{"architectures", &S::architectures},
       Field{"flags", &S::flags}, Field{"listenerPath", &S::listener_path},
       Field{"listenerMetadata", &S::listener_metadata}, Field{"syscalls", &S::syscalls});
FIELDS(IntelRdt, Field{"closID", &S::clos_id}, Field{"l3CacheSchema", &S::l3_cache_schema},
       Field{"memBwSchema", &S::mem_bw_schema}, Field{"enableCMT", &S::enable_cmt},
       Field{"enableMBM", &S::enable_mbm});
FIELDS(Personality, Field{"domain", &S::domain}, Field{"flags", &S::flags});
FIELDS(TimeOffset, Field{"secs", &S::secs}, Field{"nanosecs", &S::nanosecs});
FIELDS(LinuxConfig, Field{"uidMappings", &S::uid_mappings}, Field{"gidMappings", &S::gid_mappings},
       Field{"sysctl", &S::sysctl}, Field{"resources", &S::resources},
       Field{"cgroupsPath", &S::cgroups_path}, Field{"namespaces", &S::namespaces},
       Field{"devices", &S::devices}, Field{"seccomp", &S::seccomp},
       Field{"rootfsPropagation", &S::rootfs_propagation}, Field{"maskedPaths", &S::masked_paths},
       Field{"readonlyPaths", &S::readonly_paths}, Field{"mountLabel", &S::mount_label},
       Field{"intelRdt", &S::intel_rdt}, Field{"personality", &S::personality},
       Field{"timeOffsets", &S::time_offsets});

FIELDS(Root, Field{"path", &S::path}, Field{"readonly", &S::readonly});
FIELDS(Mount, Field{"destination", &S::destination}, Field{"type", &S::type},
       Field{"source", &S::source}, Field{"options", &S::options},
       Field{"uidMappings", &S::uid_mappings}, Field{"gidMappings", &S::gid_mappings});
FIELDS(Spec, Field{"ociVersion", &S::oci_version}, Field{"process", &S::process},
       Field{"root", &S::root}, Field{"hostname", &S::hostname},
       Field{"domainname", &S::domainname}, Field{"mounts", &S::mounts}, Field{"hooks", &S::hooks},
       Field{"annotations", &S::annotations}, Field{"linux", &S::linux_config});

#undef FIELDS

}  // namespace oci
