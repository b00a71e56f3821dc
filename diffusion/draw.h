#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "autograd/tensor.h"
#include "diffusion/view.h"
#include "kernels/runtime/random.h"

namespace tweedie {

/// What a draw may hold besides the state and the noise level, as a set.
class DrawFields {
 public:
  enum Field : unsigned { none = 0, clean = 1, noise = 2, conditional_target = 4, source = 8 };
  constexpr DrawFields(unsigned fields = none) : fields_(fields) {}  // NOLINT: a set of flags reads as its flags
  constexpr bool contains(DrawFields other) const { return (fields_ & other.fields_) == other.fields_; }
  constexpr DrawFields without(DrawFields other) const { return fields_ & ~other.fields_; }
  constexpr DrawFields with(DrawFields other) const { return fields_ | other.fields_; }
  /// "clean image, noise"
  std::string to_string() const;

 private:
  unsigned fields_;
};

/// A batch of regression inputs: states, what the network is told of them, and what is known of how they arose.
struct Draw {
  Tensor z;                           // (N, H, W, C)
  std::vector<double> t_told;         // (N): the noise level the network is told
  std::vector<double> t_state;        // (N): the noise level the state was made at; equals t_told unless shells differ
  std::vector<std::int64_t> source;   // (N): index of the image a state came from; empty where there is none
  Tensor samples;                     // int64 (N): the random stream of each draw
  RandomKey target_key;               // names the random numbers of a target: one a step, told apart by `samples`
  Tensor labels;                      // int64 (N), or undefined
  std::vector<std::int64_t> classes;  // (N): labels before any is dropped, where the source knows them on the host
  std::int64_t null_label = -1;       // the label that stands for no class, where an objective drops labels
  Tensor clean;                       // (N, H, W, C) the image x, or undefined
  Tensor noise;                       // (N, H, W, C) the noise e, or undefined
  Tensor conditional_target;          // (N, H, W, C) c_x x + c_e e, or undefined
};

/// Which part of which batch is wanted, and what of it.
struct DrawRequest {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  bool held_out = false;                   // other random streams than training's
  std::int64_t first = 0;                  // the draws [first, first + t.size()) of the step's batch
  std::vector<double> t;                   // noise levels to be told
  DrawFields fields;                       // what the target needs
  std::vector<Coefficients> coefficients;  // (N): of conditional_target
};

}  // namespace tweedie
