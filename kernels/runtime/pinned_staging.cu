#include "kernels/runtime/pinned_staging.h"

#include <algorithm>
#include <cstring>

#include "kernels/runtime/cuda.h"

namespace tweedie {

PinnedStaging::Passed::Passed(PinnedStaging& owner, cudaStream_t stream) : owner_(&owner), event_(nullptr) {
  if (owner.idle_events_.empty()) {
    check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "pinned staging memory");
  } else {
    event_ = owner.idle_events_.back();
    owner.idle_events_.pop_back();
  }
  check_cuda(cudaEventRecord(event_, stream), "pinned staging memory");
}

void PinnedStaging::Passed::wait() {
  check_cuda(cudaEventSynchronize(event_), "pinned staging memory");
  owner_->idle_events_.push_back(event_);
}

std::byte* PinnedStaging::take(std::size_t bytes) {
  if (pinned_ == nullptr) {
    void* data = nullptr;
    check_cuda(cudaMallocHost(&data, ring_bytes), "pinned staging memory");
    pinned_ = static_cast<std::byte*>(data);
  }
  return pinned_ + ring_.take(bytes);
}

void PinnedStaging::to_device_beside(cudaStream_t stream, void* to, std::size_t offset, std::size_t bytes) {
  if (copies_ == nullptr) {
    on_device_ = static_cast<std::byte*>(device_memory_.allocate(ring_bytes));
    check_cuda(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking), "copy from host");
    check_cuda(cudaEventCreateWithFlags(&arrived_, cudaEventDisableTiming), "copy from host");
    // The pool hands out memory that earlier work of the stream may still use.
    check_cuda(cudaEventRecord(arrived_, stream), "copy from host");
    check_cuda(cudaStreamWaitEvent(copies_, arrived_, 0), "copy from host");
  }
  // The place on the device is free: the piece that had it before has passed, or take() would have waited for it.
  check_cuda(cudaMemcpyAsync(on_device_ + offset, pinned_ + offset, bytes, cudaMemcpyHostToDevice, copies_),
             "copy from host");
  check_cuda(cudaEventRecord(arrived_, copies_), "copy from host");
  check_cuda(cudaStreamWaitEvent(stream, arrived_, 0), "copy from host");
  check_cuda(cudaMemcpyAsync(to, on_device_ + offset, bytes, cudaMemcpyDeviceToDevice, stream), "copy from host");
}

void PinnedStaging::to_device(cudaStream_t stream, void* to, const void* from, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += piece_bytes) {
    const std::size_t count = std::min(piece_bytes, bytes - at);
    std::byte* const piece = take(count);
    std::byte* const target = static_cast<std::byte*>(to) + at;
    std::memcpy(piece, static_cast<const std::byte*>(from) + at, count);
    if (count < large_bytes)
      check_cuda(cudaMemcpyAsync(target, piece, count, cudaMemcpyHostToDevice, stream), "copy from host");
    else
      to_device_beside(stream, target, static_cast<std::size_t>(piece - pinned_), count);
    ring_.hold(Passed(*this, stream));
  }
}

void PinnedStaging::to_host(cudaStream_t stream, void* to, const void* from, std::size_t bytes) {
  // One piece is under way while the one before it, which the ring has not come round to, is copied out.
  struct Piece {
    std::byte* pinned = nullptr;
    std::size_t at = 0, count = 0;
    cudaEvent_t landed = nullptr;
  } before;
  const auto land = [to](const Piece& piece) {
    if (piece.count == 0) return;
    check_cuda(cudaEventSynchronize(piece.landed), "copy to host");
    std::memcpy(static_cast<std::byte*>(to) + piece.at, piece.pinned, piece.count);
  };
  int turn = 0;
  for (std::size_t at = 0; at < bytes; at += piece_bytes) {
    cudaEvent_t& landed = landed_[turn];
    turn = 1 - turn;
    if (landed == nullptr) check_cuda(cudaEventCreateWithFlags(&landed, cudaEventDisableTiming), "copy to host");
    const std::size_t count = std::min(piece_bytes, bytes - at);
    const Piece piece{take(count), at, count, landed};
    check_cuda(
        cudaMemcpyAsync(piece.pinned, static_cast<const std::byte*>(from) + at, count, cudaMemcpyDeviceToHost, stream),
        "copy to host");
    check_cuda(cudaEventRecord(landed, stream), "copy to host");
    ring_.hold(Passed(*this, stream));
    land(before);
    before = piece;
  }
  land(before);
}

}  // namespace tweedie
