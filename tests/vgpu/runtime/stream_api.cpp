// Streams, events and stream capture.
#include <algorithm>
#include <cstdio>

#include "core/settings.h"
#include "runtime/state.h"

namespace tweedie::vgpu {
namespace {

unsigned long long next_id = 1;

std::unique_ptr<CUstream_st> make_stream(QueueKind kind) {
  auto made = std::make_unique<CUstream_st>();
  made->id = ++next_id;
  made->queue = Schedule::instance().make_queue(kind);
  return made;
}
CUstream_st* legacy_stream() {
  static CUstream_st* stream = make_stream(QueueKind::legacy).release();
  return stream;
}
CUstream_st* stream_of_thread() {
  static thread_local const auto stream = make_stream(QueueKind::blocking);
  return stream.get();
}
std::set<CUstream_st*>& streams() {
  static auto* set = new std::set<CUstream_st*>;
  return *set;
}

}  // namespace

CUstream_st* stream_of(cudaStream_t stream) {
  // 0 is the legacy stream, 1 and 2 its explicit name and the thread's.
  if (reinterpret_cast<u64>(stream) <= 1) return legacy_stream();
  return stream == cudaStreamPerThread ? stream_of_thread() : stream;
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
  if (!stream->capture && !deferred()) return run();
  if (!stream->capture) {
    if (const cudaError_t sticky = sticky_error()) return sticky;
    Schedule::instance().issue(*stream->queue, std::move(run), type == NodeType::host);
    return cudaSuccess;
  }
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

cudaError_t wait_for_stream(cudaStream_t stream) {
  if (!deferred()) return sticky_error();
  Schedule& schedule = Schedule::instance();
  return schedule.wait(schedule.before(*stream_of(stream)->queue));
}
cudaError_t wait_for_device() {
  return deferred() ? Schedule::instance().wait(Schedule::instance().all()) : sticky_error();
}
cudaError_t record_now(cudaEvent_t event) {
  if (!deferred()) event->record = done_now();  // else the launch of the graph that this is in stands for it
  return cudaSuccess;
}

}  // namespace tweedie::vgpu

using namespace tweedie::vgpu;

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  *stream = make_stream(flags & cudaStreamNonBlocking ? QueueKind::independent : QueueKind::blocking).release();
  (*stream)->flags = flags;
  (*stream)->priority = priority;
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
  const cudaError_t error = wait_for_stream(stream);
  std::fflush(stdout);
  return set_error(error);
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (const cudaError_t error = refuse_while_capturing(stream)) return error;
  Schedule& schedule = Schedule::instance();
  const bool done = !deferred() || schedule.ask(schedule.before(*stream_of(stream)->queue));
  return set_error(done ? sticky_error() : cudaErrorNotReady);
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
  if (deferred() && !stream->capture) {
    if (const cudaError_t sticky = sticky_error()) return set_error(sticky);
    event->record = Schedule::instance().issue(*stream->queue, {});
    return cudaSuccess;
  }
  return set_error(enqueue(
      handle, NodeType::event_record, [event] { return record_now(event); },
      [event](CUgraphNode_st& node) { node.event = event; }));
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->captured) return set_error(cudaErrorStreamCaptureUnsupported);
  const bool done = !event->record || Schedule::instance().ask({event->record});
  return set_error(done ? sticky_error() : cudaErrorNotReady);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->captured) return set_error(cudaErrorStreamCaptureUnsupported);
  return set_error(event->record ? Schedule::instance().wait({event->record}) : sticky_error());
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->record || !end->record || !start->timing || !end->timing)
    return set_error(cudaErrorInvalidResourceHandle);
  if (!Schedule::instance().ask({start->record, end->record})) return set_error(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(end->record->at - start->record->at).count();
  return set_error(sticky_error());
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  CUstream_st* stream = stream_of(handle);
  if (!event->captured) {
    if (deferred() && !stream->capture && event->record)
      Schedule::instance().issue(*stream->queue, {}, false, {event->record});
    return cudaSuccess;
  }
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
