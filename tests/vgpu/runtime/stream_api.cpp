// Streams, events and stream capture.
#include <algorithm>
#include <cstdio>

#include "runtime/state.h"

namespace tweedie::vgpu {
namespace {

CUstream_st* default_stream() {
  static CUstream_st stream;
  return &stream;
}
unsigned long long next_id = 1;
std::set<CUstream_st*>& streams() {
  static auto* set = new std::set<CUstream_st*>;
  return *set;
}

}  // namespace

CUstream_st* stream_of(cudaStream_t stream) {
  // 0 is the legacy stream, 1 and 2 its explicit name and the thread's.
  return reinterpret_cast<u64>(stream) <= 2 ? default_stream() : stream;
}

cudaError_t refuse_while_capturing(cudaStream_t stream) {
  bool capturing = stream_of(stream)->capture != nullptr;
  if (!stream)
    for (const auto* other : streams()) capturing |= other->capture != nullptr && !(other->flags & 0x10000);
  return capturing ? set_error(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t enqueue(cudaStream_t handle, NodeType type, std::function<cudaError_t()> run,
                    const std::function<void(CUgraphNode_st&)>& describe) {
  CUstream_st* stream = stream_of(handle);
  if (!stream->capture) return run();
  auto node = std::make_unique<CUgraphNode_st>();
  node->type = type;
  node->run = std::move(run);
  node->dependencies = stream->tail;
  node->graph = stream->capture;
  if (describe) describe(*node);
  stream->tail = {node.get()};
  stream->capture->nodes.push_back(std::move(node));
  return cudaSuccess;
}

cudaError_t record_now(cudaEvent_t event) {
  event->recorded = true;
  event->at = std::chrono::steady_clock::now();
  return cudaSuccess;
}

}  // namespace tweedie::vgpu

using namespace tweedie::vgpu;

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  *stream = new CUstream_st;
  (*stream)->flags = flags;
  (*stream)->priority = priority;
  (*stream)->id = ++next_id;
  streams().insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, 0, 0);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!streams().erase(stream)) return set_error(cudaErrorInvalidResourceHandle);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  *priority = stream_of(stream)->priority;
  return cudaSuccess;
}
cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  *flags = stream_of(stream)->flags;
  return cudaSuccess;
}
cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) {
  *id = stream_of(stream)->id;
  return cudaSuccess;
}
cudaError_t cudaStreamGetDevice(cudaStream_t, int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaStreamCopyAttributes(cudaStream_t to, cudaStream_t from) {
  stream_of(to)->attributes = stream_of(from)->attributes;
  return cudaSuccess;
}
cudaError_t cudaStreamSetAttribute(cudaStream_t stream, cudaStreamAttrID attribute, const cudaStreamAttrValue* value) {
  stream_of(stream)->attributes[attribute] = *value;
  return cudaSuccess;
}
cudaError_t cudaStreamGetAttribute(cudaStream_t stream, cudaStreamAttrID attribute, cudaStreamAttrValue* value) {
  const auto found = stream_of(stream)->attributes.find(attribute);
  *value = found == stream_of(stream)->attributes.end() ? cudaStreamAttrValue{} : found->second;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = refuse_while_capturing(stream)) return error;
  std::fflush(stdout);
  return set_error(sticky_error());
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return cudaStreamSynchronize(stream);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  (*event)->timing = !(flags & cudaEventDisableTiming);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, 0);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t handle, unsigned flags) {
  CUstream_st* stream = stream_of(handle);
  if (stream->capture && !(flags & cudaEventRecordExternal)) {
    event->captured = stream->capture;
    event->after = stream->tail;
    return cudaSuccess;
  }
  event->captured = nullptr;
  return set_error(enqueue(
      handle, NodeType::event_record, [event] { return record_now(event); },
      [event](CUgraphNode_st& node) { node.event = event; }));
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->captured) return set_error(cudaErrorStreamCaptureUnsupported);
  return set_error(sticky_error());
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return cudaEventQuery(event);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->recorded || !end->recorded || !start->timing || !end->timing)
    return set_error(cudaErrorInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(end->at - start->at).count();
  return set_error(sticky_error());
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  CUstream_st* stream = stream_of(handle);
  if (!event->captured) return cudaSuccess;
  if (!stream->capture) {
    stream->capture = event->captured;
    stream->capture_origin = false;
    stream->tail.clear();
  } else if (stream->capture != event->captured) {
    return set_error(cudaErrorStreamCaptureMerge);
  }
  for (auto* node : event->after)
    if (std::find(stream->tail.begin(), stream->tail.end(), node) == stream->tail.end()) stream->tail.push_back(node);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  CUstream_st* stream = stream_of(handle);
  if (reinterpret_cast<u64>(handle) <= 1) return set_error(cudaErrorStreamCaptureUnsupported);
  if (stream->capture) return set_error(cudaErrorIllegalState);
  stream->capture = new CUgraph_st;
  stream->capture_origin = true;
  stream->capture_id = ++next_id;
  stream->tail.clear();
  stream->flags = (stream->flags & 0xffff) | (mode == cudaStreamCaptureModeRelaxed ? 0x10000u : 0u);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  CUstream_st* stream = stream_of(handle);
  if (!stream->capture || !stream->capture_origin) return set_error(cudaErrorIllegalState);
  CUgraph_st* made = stream->capture;
  stream->flags &= 0xffff;
  bool unjoined = false;
  for (auto* other : streams()) {
    if (other->capture != made) continue;
    if (other != stream)  // all that it did must be before the origin's tail
      for (auto* node : other->tail) {
        std::set<CUgraphNode_st*> seen;
        std::vector<CUgraphNode_st*> work = stream->tail;
        while (!work.empty()) {
          auto* at = work.back();
          work.pop_back();
          if (seen.insert(at).second) work.insert(work.end(), at->dependencies.begin(), at->dependencies.end());
        }
        unjoined |= !seen.count(node);
      }
    other->capture = nullptr;
  }
  stream->capture = nullptr;
  stream->tail.clear();
  if (unjoined) {
    delete made;
    *graph = nullptr;
    return set_error(cudaErrorStreamCaptureUnjoined);
  }
  *graph = made;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = stream_of(stream)->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* count) {
  CUstream_st* stream = stream_of(handle);
  *status = stream->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  if (id) *id = stream->capture_id;
  if (graph) *graph = stream->capture;
  if (dependencies) *dependencies = stream->tail.data();
  if (edges) *edges = nullptr;
  if (count) *count = stream->tail.size();
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  static thread_local cudaStreamCaptureMode current = cudaStreamCaptureModeGlobal;
  std::swap(*mode, current);
  return cudaSuccess;
}

}  // extern "C"
#pragma GCC visibility pop
