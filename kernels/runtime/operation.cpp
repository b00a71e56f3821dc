#include "kernels/runtime/operation.h"

#include <algorithm>
#include <string>

namespace tweedie {
namespace {

std::vector<const OperationBase*>& registry() {
  static std::vector<const OperationBase*> operations;  // filled before main by the operations' static initialisers
  return operations;
}

}  // namespace

bool OperationBase::enlist(const OperationBase* operation) {
  auto& operations = registry();
  if (std::find(operations.begin(), operations.end(), operation) == operations.end()) operations.push_back(operation);
  return true;
}

void OperationBase::fail_unimplemented(DeviceKind kind) const {
  const std::string_view backend = kind == DeviceKind::cuda ? "CUDA" : name_of(kind);
  fail("{} has no {} implementation in this build", name_, backend);
}

Work& work_done() {
  static Work work;
  return work;
}

std::vector<const OperationBase*> all_operations() {
  std::vector<const OperationBase*> operations = registry();
  std::sort(operations.begin(), operations.end(),
            [](const OperationBase* a, const OperationBase* b) { return a->name() < b->name(); });
  return operations;
}

}  // namespace tweedie
