#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/runtime/operands.h"

namespace tweedie {

/// Whether every call on cuda is to be made on the cpu too and compared: the environment variable TWEEDIE_VALIDATE=cpu.
/// Slow; for finding the first operation whose results differ. Throws UsageError for another value.
bool validating();

/// The operands of one call, copied to the host before it runs. Device memory is mirrored a whole block at a time, so
/// that operands that share memory share it here too.
class HostMirror {
 public:
  explicit HostMirror(Stream& stream) : stream_(stream) {}

  /// `arguments` with every array's data on the host.
  template <class Arguments>
  Arguments on_host(Arguments arguments) {
    if constexpr (requires { arguments.arrays; }) arguments.arrays = on_host(arguments.arrays);
    if constexpr (requires { arguments.tensors; }) arguments.tensors = on_host(arguments.tensors);
    redirect(arguments);
    return arguments;
  }

  /// Throws Error at the first array whose values on the device differ from those on the host.
  void compare(std::string_view operation) const;

 private:
  struct Block {
    const std::byte* device;
    std::vector<std::byte> host;
  };

  template <class Element>
  std::span<const Element> on_host(std::span<const Element> elements) {
    const auto copies = std::make_shared<std::vector<Element>>(elements.begin(), elements.end());
    for (Element& element : *copies) redirect(element);
    kept_.push_back(copies);
    return *copies;
  }
  void redirect(Array& operand);
  template <class Arguments>
  void redirect(Arguments& arguments) {
    for (const std::size_t offset : operand_offsets<Arguments>()) redirect(operand_at(&arguments, offset));
  }
  std::byte* host_address(const std::byte* device);

  Stream& stream_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Array> arrays_;  // on the device
  std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace tweedie
