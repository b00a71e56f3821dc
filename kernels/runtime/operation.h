#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "kernels/runtime/array.h"
#include "kernels/runtime/operands.h"
#include "kernels/runtime/stream.h"
#include "kernels/runtime/validation.h"

namespace tweedie {

/// The part of an Operation that does not depend on its arguments: its name and the list of all operations.
class OperationBase {
 public:
  constexpr explicit OperationBase(std::string_view name) : name_(name) {}
  OperationBase(const OperationBase&) = delete;
  OperationBase& operator=(const OperationBase&) = delete;
  std::string_view name() const { return name_; }
  virtual bool implemented_on(DeviceKind kind) const = 0;

 protected:
  ~OperationBase() = default;
  static bool enlist(const OperationBase* operation);  // the same operation twice is listed once
  [[noreturn]] void fail_unimplemented(DeviceKind kind) const;

 private:
  std::string_view name_;
};

/// Every operation linked into this program, by name.
std::vector<const OperationBase*> all_operations();

/// What the operations called so far had to do by their contracts: the sum of `flops` and `bytes_moved`.
struct Work {
  double flops = 0.0;
  double bytes = 0.0;
};
Work& work_done();  // of this process; operations are called from one thread

/// What an implementation on the cpu wants of bfloat16 operands: float32 copies, from which results are rounded once it
/// is done, or the operands themselves.
enum class Bfloat16Operands : std::uint8_t { widened, as_stored };

/// One kernel entry point: a contract and an implementation for each device. The contract is the operation's header:
/// `Arguments` and, for it, three functions: `void validate(const Arguments&)` throws Error on operands that do not
/// fit, `double flops(const Arguments&)` and `double bytes_moved(const Arguments&)` are the floating-point operations
/// that must be done (a multiply-add counts two) and the bytes that must be read and written once. A build without CUDA
/// simply has none for cuda, and calling it there throws "group_norm_forward has no CUDA implementation in this build".
///
///   // group_norm.h
///   extern Operation<GroupNormForward> group_norm_forward;
///   // group_norm_cpu.cpp
///   constinit Operation<GroupNormForward> group_norm_forward{"group_norm_forward"};
///   static const bool registered = group_norm_forward.implement(DeviceKind::cpu, &forward_cpu);
///   // group_norm_cuda.cu and tests/reference/group_norm.cpp register theirs in the same way
template <class Arguments>
class Operation final : public OperationBase {
 public:
  using Function = void (*)(Stream&, const Arguments&);
  constexpr explicit Operation(std::string_view name) : OperationBase(name) {}

  void operator()(Stream& stream, const Arguments& arguments) const {
    const Function function = functions_[static_cast<int>(stream.device().kind)];
    if (function == nullptr) fail_unimplemented(stream.device().kind);
    validate(arguments);
    work_done().flops += flops(arguments);
    work_done().bytes += bytes_moved(arguments);
    if (stream.device().kind == DeviceKind::cuda && validating()) [[unlikely]]
      run_beside_cpu(stream, arguments);
    else if (stream.device().kind == DeviceKind::cpu)
      run_on_cpu(stream, arguments);
    else
      function(stream, arguments);
  }
  bool implement(DeviceKind kind, Function function, Bfloat16Operands on_cpu = Bfloat16Operands::widened) {
    functions_[static_cast<int>(kind)] = function;
    if (kind == DeviceKind::cpu) bfloat16_on_cpu_ = on_cpu;
    return enlist(this);
  }
  bool implemented_on(DeviceKind kind) const override { return functions_[static_cast<int>(kind)] != nullptr; }

 private:
  void run_on_cpu(Stream& stream, const Arguments& arguments) const {
    const Function function = functions_[static_cast<int>(DeviceKind::cpu)];
    if (bfloat16_on_cpu_ == Bfloat16Operands::as_stored || !has_bfloat16(arguments)) return function(stream, arguments);
    WideOperands wide(stream);
    function(stream, wide.widened(arguments));
    wide.round();
  }
  void run_beside_cpu(Stream& stream, const Arguments& arguments) const {
    HostMirror mirror(stream);
    const Arguments on_host = mirror.on_host(arguments);
    functions_[static_cast<int>(DeviceKind::cuda)](stream, arguments);
    if (!implemented_on(DeviceKind::cpu)) fail_unimplemented(DeviceKind::cpu);
    run_on_cpu(default_stream({DeviceKind::cpu, 0}), on_host);
    mirror.compare(name());
  }

  Function functions_[device_kinds] = {};
  Bfloat16Operands bfloat16_on_cpu_ = Bfloat16Operands::widened;
};

}  // namespace tweedie
