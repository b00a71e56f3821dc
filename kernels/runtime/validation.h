#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/runtime/array.h"
#include "kernels/runtime/stream.h"

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
  Arguments on_host(const Arguments& arguments) {
    Arguments copy = arguments;
    if constexpr (requires { copy.arrays; }) copy.arrays = on_host(copy.arrays);
    if constexpr (requires { copy.tensors; }) copy.tensors = on_host(copy.tensors);
    redirect(reinterpret_cast<std::byte*>(&copy), sizeof(Arguments));
    return copy;
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
    redirect(reinterpret_cast<std::byte*>(copies->data()), elements.size_bytes());
    kept_.push_back(copies);
    return *copies;
  }
  /// Arguments are made of Arrays and plain numbers, so a word that is an address in device memory starts an Array.
  void redirect(std::byte* object, std::size_t bytes);
  std::byte* host_address(const std::byte* device);

  Stream& stream_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Array> arrays_;  // on the device; a bfloat16 one is followed by its float32 copy on the host
  std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace tweedie
