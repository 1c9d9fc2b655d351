#include "runtime/cpu/plan_json.h"

#include "oci/json_writer.h"

namespace cpu {
namespace {

void WriteVcpu(const VcpuPlan& vcpu, oci::JsonWriter& json) {
  json.BeginObject();
  const auto number = [&](const char* key, uint32_t value) {
    json.Key(key);
    json.Unsigned(value);
  };
  number("index", vcpu.index);
  number("id", vcpu.id);
  number("package", vcpu.package);
  number("die", vcpu.die);
  number("cluster", vcpu.cluster);
  number("core", vcpu.core);
  number("thread", vcpu.thread);
  number("l2", vcpu.l2);
  number("l3", vcpu.l3);
  number("node", vcpu.node);
  json.Key("host_cpu");
  if (vcpu.host_cpu) {
    json.Unsigned(*vcpu.host_cpu);
  } else {
    json.Null();
  }
  json.Key("affinity");
  json.String(vcpu.affinity.ToString());
  json.EndObject();
}

}  // namespace

void WritePlan(const CpuPlan& plan, oci::JsonWriter& json) {
  json.BeginObject();
  json.Key("vcpus");
  json.BeginArray();
  for (const VcpuPlan& vcpu : plan.vcpus) WriteVcpu(vcpu, json);
  json.EndArray();
  json.Key("mode");
  json.String(ModeName(plan.mode));
  json.Key("cpu_max");
  if (plan.cpu_max) {
    json.String(fmt::format("{} {}", plan.cpu_max->quota_us, plan.cpu_max->period_us));
  } else {
    json.Null();
  }
  json.Key("weight");
  if (plan.weight) {
    json.Unsigned(*plan.weight);
  } else {
    json.Null();
  }
  json.Key("mems");
  json.String(plan.mems.ToString());
  json.Key("memory_mib");
  json.Unsigned(plan.memory_mib);
  json.Key("housekeeping");
  json.String(plan.housekeeping.ToString());
  json.Key("grow");
  json.String(plan.grow.ToString());
  json.Key("notes");
  json.BeginArray();
  for (const Note& note : plan.notes) {
    json.BeginObject();
    json.Key("code");
    json.String(note.code);
    json.Key("text");
    json.String(note.text);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
}

std::string PlanToJson(const CpuPlan& plan) {
  oci::JsonWriter json;
  WritePlan(plan, json);
  return json.Take();
}

}  // namespace cpu
