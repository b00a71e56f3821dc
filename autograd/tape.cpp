#include "autograd/tape.h"

#include <algorithm>
#include <queue>
#include <unordered_set>

#include "autograd/gradients_to.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/optimizer/optimizer.h"

namespace tweedie {
namespace {

thread_local bool recording = true;
thread_local bool checking = false;
thread_local std::uint64_t next_sequence = 0;

using SlotPointer = std::shared_ptr<autograd::GradientSlot>;

thread_local SlotPointer only_leaf;  // of the innermost GradientsTo

/// The slot that an operation records for an input: none for leaves that a GradientsTo makes constants.
SlotPointer recorded(const SlotPointer& slot) {
  return slot && slot->leaf && only_leaf && slot != only_leaf ? nullptr : slot;
}

void check_finite(std::string_view operation, std::string_view what, const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) return;
  const std::int64_t count = nonfinite_values(tensor);
  require(count == 0, "{} made {} values of {} in its {} of shape {} NaN or infinite", operation, count, tensor.count(),
          what, tensor.shape());
}

void add_in_place(const Tensor& total, const Tensor& term) {
  scale_add(total.stream(), {.a = total.array(), .b = term.array(), .out = total.array()});
}

}  // namespace

namespace autograd {

void GradientSlot::make_unique() {
  if (gradient.storage_.use_count() > 1) gradient = gradient.clone();
}

// A long chain of producers would be destroyed by recursion; taking it apart in a loop keeps the stack flat.
GradientSlot::~GradientSlot() {
  std::vector<std::unique_ptr<Node>> pending;
  if (producer) pending.push_back(std::move(producer));
  while (!pending.empty()) {
    const std::unique_ptr<Node> node = std::move(pending.back());
    pending.pop_back();
    for (const SlotPointer& input : node->inputs)
      if (input && input.use_count() == 1 && input->producer) pending.push_back(std::move(input->producer));
  }
}

}  // namespace autograd

NoGrad::NoGrad() : previous_(recording) {
  recording = false;
}
NoGrad::~NoGrad() {
  recording = previous_;
}
bool grad_enabled() {
  return recording;
}

NonfiniteCheck::NonfiniteCheck() : previous_(checking) {
  checking = true;
}
NonfiniteCheck::~NonfiniteCheck() {
  checking = previous_;
}

std::int64_t nonfinite_values(const Tensor& tensor) {
  if (tensor.dtype() == DType::bfloat16) {
    const Tensor wide = Tensor::empty(tensor.shape(), DType::float32, tensor.device());
    cast(wide.stream(), {.x = tensor.array(), .y = wide.array()});
    return nonfinite_values(wide);
  }
  const Tensor count = Tensor::empty({1}, DType::int64, tensor.device());
  const Array values = tensor.array();
  count_nonfinite(count.stream(), {.arrays = std::span(&values, 1), .count = count.array()});
  return count.to_host_integers()[0];
}

GradientsTo::GradientsTo(const Tensor& leaf) : previous_(only_leaf) {
  const SlotPointer slot = autograd::GradientSlot::of(leaf);
  require(slot != nullptr && slot->leaf, "gradients to: the tensor is no leaf that requires a gradient");
  only_leaf = slot;
}
GradientsTo::~GradientsTo() {
  only_leaf = previous_;
}

bool any_requires_grad(std::initializer_list<Tensor> inputs) {
  return recording &&
         std::any_of(inputs.begin(), inputs.end(), [](const Tensor& input) { return input.requires_grad(); });
}

Tensor record(std::string_view name, Tensor output, std::initializer_list<Tensor> inputs,
              std::function<void(Backward&)> backward) {
  return record(name, std::move(output), std::span<const Tensor>(inputs.begin(), inputs.size()), std::move(backward));
}

Tensor record(std::string_view name, Tensor output, std::span<const Tensor> inputs,
              std::function<void(Backward&)> backward) {
  if (checking) check_finite(name, "result", output);
  if (!recording) return output;
  auto node = std::make_unique<autograd::Node>();
  for (const Tensor& input : inputs) node->inputs.push_back(recorded(input.slot_));
  if (std::ranges::none_of(node->inputs, [](const SlotPointer& slot) { return slot != nullptr; })) return output;
  node->name = name;
  node->sequence = next_sequence++;
  node->backward = std::move(backward);
  output.slot_ = std::make_shared<autograd::GradientSlot>();
  output.slot_->shape = output.shape_;
  output.slot_->dtype = output.dtype_;
  output.slot_->device = output.device();
  output.slot_->producer = std::move(node);
  output.slot_->leaf = false;
  return output;
}

Tensor& Tensor::set_requires_grad(bool requires_grad) {
  require(defined() && is_floating(dtype_), "set_requires_grad: only floating tensors have gradients");
  require(slot_ == nullptr || slot_->leaf, "set_requires_grad: this tensor was made by an operation; detach it first");
  if (!requires_grad) {
    slot_ = nullptr;
  } else if (slot_ == nullptr) {
    slot_ = std::make_shared<autograd::GradientSlot>();
    slot_->shape = shape_;
    slot_->dtype = dtype_;
    slot_->device = device();
  }
  return *this;
}

Tensor Tensor::grad() const {
  return slot_ ? slot_->gradient : Tensor();
}

void Tensor::clear_grad() const {
  if (slot_) slot_->gradient = Tensor();
}

void Tensor::backward() const {
  require(defined() && count() == 1, "backward: the tensor has shape {}; give a cotangent, or reduce it to one element",
          shape_);
  backward(full(shape_, 1.0, device()));
}

void Tensor::backward(const Tensor& cotangent) const {
  require(slot_ != nullptr, "backward: nothing that made this tensor requires a gradient");
  require(cotangent.defined() && cotangent.shape() == shape_ && cotangent.dtype() == dtype_,
          "backward: the cotangent has shape {}, expected {} ({})", cotangent.shape(), shape_, name_of(dtype_));
  const NoGrad guard;
  Backward root(Tensor(), std::span(&slot_, 1));
  root.give(0, cotangent.detach());

  const auto earlier = [](const SlotPointer& a, const SlotPointer& b) {
    return a->producer->sequence < b->producer->sequence;
  };
  std::priority_queue<SlotPointer, std::vector<SlotPointer>, decltype(earlier)> ready(earlier);
  std::unordered_set<autograd::GradientSlot*> queued;
  const auto enqueue = [&](const SlotPointer& slot) {
    if (slot->leaf || !queued.insert(slot.get()).second) return;
    require(!slot->freed, "backward: the tape was freed by an earlier backward through the same operations");
    ready.push(slot);
  };
  enqueue(slot_);
  while (!ready.empty()) {
    const SlotPointer slot = ready.top();
    ready.pop();
    const std::unique_ptr<autograd::Node> node = std::move(slot->producer);
    slot->freed = true;
    if (slot->gradient.defined()) {
      Backward context(std::move(slot->gradient), node->inputs);
      slot->gradient = Tensor();
      node->backward(context);
      if (checking)
        for (const SlotPointer& input : node->inputs)
          if (input && input->gradient.defined()) check_finite(node->name, "gradient", input->gradient);
    }
    for (const SlotPointer& input : node->inputs)
      if (input) enqueue(input);
  }
}

bool Backward::needs(int input) const {
  return inputs_[static_cast<std::size_t>(input)] != nullptr;
}

Backward::Destination Backward::destination(int input) {
  const SlotPointer& slot = inputs_[static_cast<std::size_t>(input)];
  if (slot == nullptr) return {};
  if (slot->gradient.defined()) {
    slot->make_unique();
    return {slot->gradient.array(), Write::accumulate};
  }
  slot->gradient = Tensor::empty(slot->shape, slot->dtype, slot->device);
  return {slot->gradient.array(), Write::overwrite};
}

Array Backward::accumulated(int input) {
  const Destination place = destination(input);
  if (place.array && place.write == Write::overwrite)
    default_stream(inputs_[static_cast<std::size_t>(input)]->device)
        .zero(place.array.data, static_cast<std::size_t>(place.array.bytes()));
  return place.array;
}

void Backward::give(int input, const Tensor& gradient) {
  const SlotPointer& slot = inputs_[static_cast<std::size_t>(input)];
  if (slot == nullptr) return;
  require(gradient.shape() == slot->shape, "backward: a gradient of shape {} for a tensor of shape {}",
          gradient.shape(), slot->shape);
  if (!slot->gradient.defined()) {
    slot->gradient = gradient.detach();
    return;
  }
  slot->make_unique();
  add_in_place(slot->gradient, gradient);
}

}  // namespace tweedie
