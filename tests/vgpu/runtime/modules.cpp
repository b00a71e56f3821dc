// Modules and what registers them.
#include <cstdlib>
#include <cstring>

#include "core/kernel_name.h"
#include "core/settings.h"
#include "decode/decoder.h"
#include "exec/report.h"
#include "ptx/mutate.h"
#include "runtime/device.h"
#include "runtime/fat_binary.h"
#include "runtime/state.h"

namespace tweedie::vgpu {

LoadedModule::LoadedModule(const void* fat_binary) : fat_binary_(fat_binary), needs_(oldest_ptx(fat_binary)) {}
LoadedModule::LoadedModule(std::string text) : text_(std::move(text)) {}

void LoadedModule::load() {
  if (module_) return;
  if (fat_binary_) {
    const Device& device = this_device();
    text_ = find_ptx(fat_binary_, device.major * 10 + device.minor, problem_);
  }
  if (text_.empty()) {
    module_ = std::make_unique<ptx::Module>();
    return;
  }
  try {
    module_ = ptx::parse(text_);
  } catch (const std::exception& error) {
    report(fmt::format("unsupported: cannot read the program's PTX: {}", error.what()));
    std::exit(kFindingStatus);
  }
  text_.clear();
  load_variables();
  for (const auto& [name, function] : module_->functions) {
    if (!function->entry) continue;
    if (!settings().mutate.empty() && is_kernel_called(name, settings().mutate)) mutate(*function);
    auto made = std::make_unique<Kernel>();
    made->name = name;
    made->module = this;
    made->function = function.get();
    State::instance().known_kernels.insert(made.get());
    kernels_[name] = std::move(made);
  }
}

void LoadedModule::mutate(ptx::Function& kernel) {
  if (ptx::drop_last_store(kernel)) return;
  std::fprintf(stderr, "vgpu: kernel %s has no store to drop\n", kernel.name.c_str());
  std::exit(2);
}

void LoadedModule::load_variables() {
  Memory& memory = Memory::instance();
  for (const auto& [name, variable] : module_->variables) {
    if (variable.space != ptx::Space::global && variable.space != ptx::Space::constant) continue;
    if (variable.external && variable.size == 0) continue;
    Allocation* made = memory.allocate(variable.size, variable.managed ? MemoryKind::managed : MemoryKind::module);
    if (!made) {
      report("unsupported: the module's variables do not fit the device's memory");
      std::exit(kFindingStatus);
    }
    made->label = name;
    made->constant = variable.space == ptx::Space::constant;
    u8* host = reinterpret_cast<u8*>(made->begin + static_cast<u64>(made->delta));
    std::memset(host, 0, variable.size);
    if (!variable.bytes.empty()) std::memcpy(host, variable.bytes.data(), variable.size);
    variables_[name] = made;
  }
  for (const auto& [name, variable] : module_->variables) {
    const auto here = variables_.find(name);
    if (here == variables_.end()) continue;
    for (const auto& address : variable.addresses) {
      u64 value = static_cast<u64>(address.addend);
      if (const auto target = variables_.find(address.symbol); target != variables_.end()) {
        value += target->second->begin;
      } else if (const auto function = module_->functions.find(address.symbol); function != module_->functions.end()) {
        value += kFunctionWindow + function->second->number;
      } else {
        report(fmt::format("unsupported: variable {} holds the address of {}, which is defined elsewhere", name,
                           address.symbol));
        std::exit(kFindingStatus);
      }
      value >>= address.shift;
      std::memcpy(reinterpret_cast<u8*>(here->second->begin + static_cast<u64>(here->second->delta)) + address.offset,
                  &value, static_cast<std::size_t>(address.bytes));
    }
  }
}

const ptx::Module& LoadedModule::parsed() {
  load();
  return *module_;
}
Kernel* LoadedModule::kernel(const std::string& name) {
  load();
  const auto found = kernels_.find(name);
  return found == kernels_.end() ? nullptr : found->second.get();
}
std::vector<std::string> LoadedModule::kernel_names() {
  load();
  std::vector<std::string> names;
  for (const auto& [name, kernel] : kernels_) names.push_back(name);
  return names;
}
Allocation* LoadedModule::variable(const std::string& name) {
  load();
  const auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : found->second;
}

Program& LoadedModule::program(Kernel& kernel) {
  if (!kernel.program)
    kernel.program = decode(*module_, *kernel.function, [this](const std::string& name) {
      const auto found = variables_.find(name);
      if (found == variables_.end()) throw Unsupported("variable " + name + " is defined elsewhere");
      return found->second->begin;
    });
  return *kernel.program;
}

State& State::instance() {
  static State* state = new State;  // outlives the program's static destructors
  return *state;
}

}  // namespace tweedie::vgpu

using namespace tweedie::vgpu;

namespace {
struct Registered {  // by host function: the kernel's name, looked up when first used
  LoadedModule* module;
  std::string name;
};
std::map<const void*, Registered>& registered() {
  static auto* map = new std::map<const void*, Registered>;
  return *map;
}
}  // namespace

namespace tweedie::vgpu {

namespace {

/// Ends the program unless one of its kernels is the one that --mutate names.
void check_mutated_kernel() {
  std::string names;
  for (const auto& [host, entry] : registered()) {
    if (is_kernel_called(entry.name, settings().mutate)) return;
    names += "  " + entry.name + "\n";
  }
  std::fprintf(stderr, "vgpu: the program has no kernel %s; it has\n%s", settings().mutate.c_str(), names.c_str());
  std::exit(2);
}

}  // namespace

Kernel* find_kernel(const void* pointer) {
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  if (static bool checked = settings().mutate.empty(); !checked) {
    checked = true;
    check_mutated_kernel();
  }
  if (state.known_kernels.count(static_cast<const Kernel*>(pointer)))
    return const_cast<Kernel*>(static_cast<const Kernel*>(pointer));
  if (const auto known = state.kernels.find(pointer); known != state.kernels.end()) return known->second;
  const auto found = registered().find(pointer);
  if (found == registered().end()) return nullptr;
  LoadedModule& module = *found->second.module;
  Kernel* kernel = module.kernel(found->second.name);
  if (!kernel) {
    static bool told = false;
    if (!told && !module.problem().empty())
      report(fmt::format("unsupported: kernel {} cannot run: {}", found->second.name, module.problem()));
    told = true;
    return nullptr;
  }
  state.kernels[pointer] = kernel;
  return kernel;
}

}  // namespace tweedie::vgpu

#pragma GCC visibility push(default)
extern "C" {

void** __cudaRegisterFatBinary(void* fat_binary) {
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  state.modules.push_back(std::make_unique<LoadedModule>(fat_binary));
  return reinterpret_cast<void**>(state.modules.back().get());
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) {
  return 1;
}

void __cudaRegisterFunction(void** handle, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  registered()[host] = {reinterpret_cast<LoadedModule*>(handle), name};
}
void __cudaRegisterVar(void** handle, char* host, char*, const char* name, int, size_t size, int, int) {
  State::instance().variables[host] = {reinterpret_cast<LoadedModule*>(handle), name, size, false};
}
void __cudaRegisterManagedVar(void** handle, void** host, char*, const char* name, int, size_t size, int, int) {
  auto* module = reinterpret_cast<LoadedModule*>(handle);
  State::instance().variables[host] = {module, name, size, true};
  // The host reads managed variables through this pointer at any time.
  if (Allocation* made = module->variable(name)) *host = reinterpret_cast<void*>(made->begin);
}
void __cudaRegisterHostVar(void**, const char*, char*, size_t) {}

cudaError_t __cudaGetKernel(cudaKernel_t* handle, const void* host) {
  Kernel* kernel = find_kernel(host);
  if (!kernel) return set_error(cudaErrorInvalidDeviceFunction);
  *handle = reinterpret_cast<cudaKernel_t>(kernel);
  return cudaSuccess;
}
cudaError_t cudaGetKernel(cudaKernel_t* handle, const void* host) {
  return __cudaGetKernel(handle, host);
}
cudaError_t cudaGetFuncBySymbol(cudaFunction_t* handle, const void* host) {
  return __cudaGetKernel(reinterpret_cast<cudaKernel_t*>(handle), host);
}

cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  const auto found = state.variables.find(symbol);
  if (found == state.variables.end()) return set_error(cudaErrorInvalidSymbol);
  Allocation* made = found->second.module->variable(found->second.name);
  if (!made) return set_error(cudaErrorInvalidSymbol);
  *pointer = reinterpret_cast<void*>(made->begin);
  return cudaSuccess;
}
cudaError_t cudaGetSymbolSize(size_t* size, const void* symbol) {
  const auto found = State::instance().variables.find(symbol);
  if (found == State::instance().variables.end()) return set_error(cudaErrorInvalidSymbol);
  *size = found->second.size;
  return cudaSuccess;
}

}  // extern "C"
#pragma GCC visibility pop
