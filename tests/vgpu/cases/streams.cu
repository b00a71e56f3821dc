// What is ordered with what: streams, events, copies, the host, memory, graphs. Each planted bug has its correct twin
// among the cases. `planted` ones give the right numbers where streams run as they are issued.
#include <thread>

#include "harness.h"

__global__ void set(float* x, float value, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = value;
}
__global__ void add(float* out, const float* x, float by, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = x[i] + by;
}

constexpr int kCount = 100;
constexpr size_t kBytes = kCount * sizeof(float);

struct Stream {
  cudaStream_t handle;
  explicit Stream(unsigned flags = cudaStreamNonBlocking) { CUDA(cudaStreamCreateWithFlags(&handle, flags)); }
  ~Stream() { cudaStreamDestroy(handle); }
  Stream(const Stream&) = delete;
  operator cudaStream_t() const { return handle; }
};
struct Event {
  cudaEvent_t handle;
  Event() { CUDA(cudaEventCreate(&handle)); }
  ~Event() { cudaEventDestroy(handle); }
  Event(const Event&) = delete;
  operator cudaEvent_t() const { return handle; }
};
struct Pinned {
  float* pointer;
  explicit Pinned(float value) {
    CUDA(cudaMallocHost(&pointer, kBytes));
    fill(value);
  }
  ~Pinned() { cudaFreeHost(pointer); }
  Pinned(const Pinned&) = delete;
  void fill(float value) { std::fill_n(pointer, kCount, value); }
  operator float*() const { return pointer; }
};
struct Zeros : Device<float> {
  Zeros() : Device<float>(kCount) {
    CUDA(cudaMemset(pointer, 0, kBytes));
    CUDA(cudaDeviceSynchronize());
  }
};
void launch_set(float* x, float value, cudaStream_t stream) {
  set<<<1, 128, 0, stream>>>(x, value, kCount);
}
void launch_add(float* out, const float* x, float by, cudaStream_t stream) {
  add<<<1, 128, 0, stream>>>(out, x, by, kCount);
}

// Each of these is right where `right`, and a bug that is common elsewhere where not.

void wait_of_another_stream(bool right) {
  Stream a, b;
  Event produced;
  Zeros x, y;
  Pinned result(-1);
  launch_set(x, 5, a);
  CUDA(cudaEventRecord(produced, a));
  if (right) CUDA(cudaStreamWaitEvent(b, produced, 0));
  launch_add(y, x, 1, b);
  CUDA(cudaMemcpyAsync(result, y, kBytes, cudaMemcpyDeviceToHost, b));
  CUDA(cudaDeviceSynchronize());
  CHECK(result[kCount - 1] == 6);
}
void event_recorded_before_the_wait(bool right) {
  Stream a, b;
  Event produced;
  Zeros x, y;
  CUDA(cudaEventRecord(produced, a));  // an earlier round's
  if (!right) CUDA(cudaStreamWaitEvent(b, produced, 0));
  launch_set(x, 5, a);
  CUDA(cudaEventRecord(produced, a));
  if (right) CUDA(cudaStreamWaitEvent(b, produced, 0));
  launch_add(y, x, 1, b);
  CUDA(cudaDeviceSynchronize());
  CHECK(y.get()[kCount - 1] == 6);
}
void result_is_read_after_a_synchronisation(bool right) {
  Stream s;
  Zeros x;
  Pinned result(-1);
  launch_set(x, 5, s);
  CUDA(cudaMemcpyAsync(result, x, kBytes, cudaMemcpyDeviceToHost, s));
  if (right) CUDA(cudaStreamSynchronize(s));
  CHECK(result[kCount - 1] == 5);
  CUDA(cudaStreamSynchronize(s));
}
void pinned_memory_is_filled_again_after_its_copy(bool right) {
  Stream s;
  Event copied;
  Zeros x;
  Pinned source(3);
  CUDA(cudaMemcpyAsync(x, source, kBytes, cudaMemcpyHostToDevice, s));
  CUDA(cudaEventRecord(copied, s));
  if (right) CUDA(cudaEventSynchronize(copied));
  source.fill(4);
  CUDA(cudaStreamSynchronize(s));
  CHECK(x.get()[kCount - 1] == 3);
}
void memory_is_freed_after_its_use(bool right) {
  Stream a, b;
  Event used;
  Zeros y;
  float* x;
  CUDA(cudaMallocAsync(&x, kBytes, a));
  launch_set(x, 5, a);
  launch_add(y, x, 1, a);
  CUDA(cudaEventRecord(used, a));
  if (right) CUDA(cudaStreamWaitEvent(b, used, 0));
  CUDA(cudaFreeAsync(x, b));
  CUDA(cudaDeviceSynchronize());
  CHECK(y.get()[kCount - 1] == 6);
}
void memory_is_used_after_its_allocation(bool right) {
  Stream a, b;
  Event allocated;
  float* x;
  CUDA(cudaMallocAsync(&x, kBytes, a));
  CUDA(cudaEventRecord(allocated, a));
  if (right) CUDA(cudaStreamWaitEvent(b, allocated, 0));
  launch_set(x, 5, b);
  CUDA(cudaDeviceSynchronize());
  Pinned result(-1);
  CUDA(cudaMemcpy(result, x, kBytes, cudaMemcpyDeviceToHost));
  CHECK(result[kCount - 1] == 5);
  CUDA(cudaFree(x));
}
void blocking_streams_wait_for_the_legacy_stream(bool right) {
  Stream s(right ? cudaStreamDefault : cudaStreamNonBlocking);
  Zeros x, y;
  launch_set(x, 5, nullptr);
  launch_add(y, x, 1, s);
  CUDA(cudaStreamSynchronize(s));
  CUDA(cudaDeviceSynchronize());
  CHECK(y.get()[kCount - 1] == 6);
}
void legacy_stream_waits_for_blocking_streams(bool right) {
  Stream s(right ? cudaStreamDefault : cudaStreamNonBlocking);
  Zeros x, y;
  launch_set(x, 5, s);
  launch_add(y, x, 1, nullptr);
  CUDA(cudaDeviceSynchronize());
  CHECK(y.get()[kCount - 1] == 6);
}
// cudaMemcpy returns once pageable bytes are staged: only what is ordered after the legacy stream sees them.
void copy_of_pageable_memory_and_another_stream(bool right) {
  Stream s;
  Zeros x, y;
  const std::vector<float> values(kCount, 5);
  CUDA(cudaMemcpy(x, values.data(), kBytes, cudaMemcpyHostToDevice));
  if (right) CUDA(cudaDeviceSynchronize());
  launch_add(y, x, 1, s);
  CUDA(cudaStreamSynchronize(s));
  CUDA(cudaDeviceSynchronize());
  CHECK(y.get()[kCount - 1] == 6);
}
void nodes_of_a_graph_depend(bool right) {
  Stream s;
  Zeros x, y;
  cudaGraph_t graph;
  CUDA(cudaGraphCreate(&graph, 0));
  float *px = x, *py = y, value = 5, by = 1;
  int n = kCount;
  void *set_arguments[] = {&px, &value, &n}, *add_arguments[] = {&py, &px, &by, &n};
  cudaKernelNodeParams first = {}, second = {};
  first.func = reinterpret_cast<void*>(set), first.kernelParams = set_arguments;
  second.func = reinterpret_cast<void*>(add), second.kernelParams = add_arguments;
  first.gridDim = second.gridDim = dim3(1), first.blockDim = second.blockDim = dim3(128);
  cudaGraphNode_t set_node, add_node;
  CUDA(cudaGraphAddKernelNode(&set_node, graph, nullptr, 0, &first));
  CUDA(cudaGraphAddKernelNode(&add_node, graph, &set_node, right ? 1 : 0, &second));
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  CUDA(cudaGraphLaunch(exec, s));
  CUDA(cudaGraphExecDestroy(exec));
  CUDA(cudaGraphDestroy(graph));
  CUDA(cudaStreamSynchronize(s));
  CHECK(y.get()[kCount - 1] == 6);
}

#define BOTH(function) \
  CASE(function) {     \
    function(true);    \
  }
BOTH(wait_of_another_stream)
BOTH(event_recorded_before_the_wait)
BOTH(result_is_read_after_a_synchronisation)
BOTH(pinned_memory_is_filled_again_after_its_copy)
BOTH(memory_is_freed_after_its_use)
BOTH(memory_is_used_after_its_allocation)
BOTH(blocking_streams_wait_for_the_legacy_stream)
BOTH(legacy_stream_waits_for_blocking_streams)
BOTH(copy_of_pageable_memory_and_another_stream)
BOTH(nodes_of_a_graph_depend)

void error_comes_with_the_wait() {
  Stream s;
  Device<float> x(kCount);
  set<<<1, 128, 0, s>>>(x, 5, kCount + 1);
  std::printf("launch: %s\n", cudaGetErrorName(cudaGetLastError()));
  std::printf("wait: %s\n", cudaGetErrorName(cudaStreamSynchronize(s)));
}

int planted(const std::string& name) {
  const struct {
    const char* name;
    void (*run)(bool);
  } bugs[] = {{"wait_of_another_stream", wait_of_another_stream},
              {"event_recorded_before_the_wait", event_recorded_before_the_wait},
              {"result_is_read_after_a_synchronisation", result_is_read_after_a_synchronisation},
              {"pinned_memory_is_filled_again_after_its_copy", pinned_memory_is_filled_again_after_its_copy},
              {"memory_is_freed_after_its_use", memory_is_freed_after_its_use},
              {"memory_is_used_after_its_allocation", memory_is_used_after_its_allocation},
              {"blocking_streams_wait_for_the_legacy_stream", blocking_streams_wait_for_the_legacy_stream},
              {"legacy_stream_waits_for_blocking_streams", legacy_stream_waits_for_blocking_streams},
              {"copy_of_pageable_memory_and_another_stream", copy_of_pageable_memory_and_another_stream},
              {"nodes_of_a_graph_depend", nodes_of_a_graph_depend}};
  for (const auto& bug : bugs)
    if (name == std::string("not:") + bug.name) bug.run(false);
  if (name == "error_comes_with_the_wait") error_comes_with_the_wait();
  return failures == 0 ? 0 : 1;
}

CASE(pageable_memory_may_change_at_once) {
  Stream s;
  Zeros x;
  std::vector<float> values(kCount, 3);
  CUDA(cudaMemcpyAsync(x, values.data(), kBytes, cudaMemcpyHostToDevice, s));
  values.assign(kCount, 4);
  CUDA(cudaStreamSynchronize(s));
  CHECK(x.get()[kCount - 1] == 3);
  std::vector<float> rows(2 * kCount, 6);
  CUDA(cudaMemcpy2DAsync(x, 40, rows.data(), 80, 40, 10, cudaMemcpyHostToDevice, s));
  rows.assign(2 * kCount, 7);
  CUDA(cudaStreamSynchronize(s));
  CHECK(x.get()[0] == 6 && x.get()[kCount - 1] == 6);
}

CASE(copies_to_pageable_memory_and_between_host_memory_wait) {
  Stream s;
  Zeros x;
  std::vector<float> values(kCount, -1);
  launch_set(x, 5, s);
  CUDA(cudaMemcpyAsync(values.data(), x, kBytes, cudaMemcpyDeviceToHost, s));
  CHECK(values[kCount - 1] == 5);
  Pinned from(3), to(0);
  CUDA(cudaMemcpyAsync(to, from, kBytes, cudaMemcpyHostToHost, s));
  CHECK(to[kCount - 1] == 3);
}

CASE(registered_memory_is_pinned) {
  Stream s;
  Zeros x;
  static float values[1024];
  CUDA(cudaHostRegister(values, sizeof values, 0));
  launch_set(x, 5, s);
  CUDA(cudaMemcpyAsync(values, x, kBytes, cudaMemcpyDeviceToHost, s));
  CUDA(cudaStreamSynchronize(s));
  CHECK(values[kCount - 1] == 5);
  CUDA(cudaHostUnregister(values));
}

CASE(questions_end) {
  Stream s;
  Event done;
  Zeros x;
  for (int k = 0; k < 20; ++k) launch_add(x, x, 1, s);
  CUDA(cudaEventRecord(done, s));
  int asked = 0;
  while (cudaEventQuery(done) == cudaErrorNotReady && asked < 1000000) ++asked;
  CUDA(cudaEventQuery(done));
  launch_add(x, x, 1, s);
  while (cudaStreamQuery(s) == cudaErrorNotReady && asked < 1000000) ++asked;
  CUDA(cudaStreamQuery(s));
  (void)cudaGetLastError();
  CHECK(x.get()[kCount - 1] == 21);
}

CASE(elapsed_time_needs_both_events) {
  Stream s;
  Event start, end, never;
  Zeros x;
  CUDA(cudaEventRecord(start, s));
  launch_set(x, 5, s);
  CUDA(cudaEventRecord(end, s));
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, start, never) == cudaErrorInvalidResourceHandle);
  const cudaError_t early = cudaEventElapsedTime(&milliseconds, start, end);
  CHECK(early == cudaSuccess || early == cudaErrorNotReady);
  CUDA(cudaEventSynchronize(end));
  CUDA(cudaEventElapsedTime(&milliseconds, start, end));
  CHECK(milliseconds >= 0);
  (void)cudaGetLastError();
}

CASE(work_outlives_its_stream_and_events) {
  Zeros x, y;
  {
    Stream a, b;
    Event produced;
    launch_set(x, 5, a);
    CUDA(cudaEventRecord(produced, a));
    CUDA(cudaStreamWaitEvent(b, produced, 0));
    launch_add(y, x, 1, b);
  }
  CUDA(cudaDeviceSynchronize());
  CHECK(y.get()[kCount - 1] == 6);
}

CASE(host_functions_keep_the_order) {
  Stream s, t;
  Event seen;
  Zeros x, y;
  struct Found {
    Pinned copy{-1};
    float value = 0;
  } found;
  launch_set(x, 5, s);
  CUDA(cudaMemcpyAsync(found.copy, x, kBytes, cudaMemcpyDeviceToHost, s));
  CUDA(cudaLaunchHostFunc(
      s,
      [](void* data) {
        auto* f = static_cast<Found*>(data);
        f->value = f->copy[kCount - 1];
        f->copy.fill(7);
      },
      &found));
  CUDA(cudaEventRecord(seen, s));
  CUDA(cudaStreamWaitEvent(t, seen, 0));
  CUDA(cudaMemcpyAsync(y, found.copy, kBytes, cudaMemcpyHostToDevice, t));
  CUDA(cudaStreamSynchronize(t));
  CHECK(found.value == 5);
  CHECK(y.get()[kCount - 1] == 7);
}

CASE(default_streams) {
  Stream blocking(cudaStreamDefault), other(cudaStreamDefault);
  Zeros x, y;
  launch_set(x, 1, blocking);
  launch_add(x, x, 1, nullptr);
  launch_add(x, x, 1, other);
  launch_add(x, x, 1, cudaStreamLegacy);
  launch_add(x, x, 1, cudaStreamPerThread);
  launch_add(y, x, 1, nullptr);
  CUDA(cudaStreamSynchronize(nullptr));
  CHECK(x.get()[kCount - 1] == 5);
  CHECK(y.get()[kCount - 1] == 6);
  launch_set(x, 9, blocking);
  CUDA(cudaStreamSynchronize(nullptr));  // comes after all blocking streams
  std::vector<float> values(kCount);
  CUDA(cudaMemcpyAsync(values.data(), x, kBytes, cudaMemcpyDeviceToHost, cudaStreamPerThread));
  CHECK(values[0] == 9);
}

CASE(synchronous_copies_and_fills) {
  Zeros x, y;
  Stream blocking(cudaStreamDefault);
  launch_set(x, 5, blocking);
  CUDA(cudaMemcpy(y, x, kBytes, cudaMemcpyDeviceToDevice));  // the host does not wait, the legacy stream does
  launch_set(x, 6, blocking);
  Pinned values(-1);
  CUDA(cudaMemcpy(values, y, kBytes, cudaMemcpyDeviceToHost));
  CHECK(values[kCount - 1] == 5);
  values.fill(3);
  CUDA(cudaMemcpy(x, values, kBytes, cudaMemcpyHostToDevice));
  values.fill(4);
  CUDA(cudaMemset(y, 0, kBytes));
  launch_add(y, x, 1, blocking);
  CHECK(y.get()[kCount - 1] == 4);
  float* managed;
  CUDA(cudaMallocManaged(&managed, kBytes));
  CUDA(cudaMemset(managed, 0, kBytes));
  CHECK(managed[kCount - 1] == 0);
  launch_set(managed, 5, nullptr);
  CUDA(cudaDeviceSynchronize());
  CHECK(managed[kCount - 1] == 5);
  CUDA(cudaFree(managed));
}

CASE(free_waits_for_the_device) {
  Stream s;
  Zeros y;
  float* x;
  CUDA(cudaMalloc(&x, kBytes));
  launch_set(x, 5, s);
  launch_add(y, x, 1, s);
  CUDA(cudaFree(x));
  CUDA(cudaStreamSynchronize(s));
  CHECK(y.get()[kCount - 1] == 6);
}

CASE(pools_reuse_memory_without_a_wait) {  // far more in all than --memory of the suite
  Stream s;
  Zeros y;
  for (int k = 0; k < 100; ++k) {
    float* x;
    CUDA(cudaMallocAsync(&x, 1 << 20, s));
    launch_set(x, float(k), s);
    launch_add(y, x, 1, s);
    CUDA(cudaFreeAsync(x, s));
  }
  CUDA(cudaStreamSynchronize(s));
  CHECK(y.get()[kCount - 1] == 100);
}

CASE(launches_of_a_graph_keep_their_order_and_parameters) {
  Stream s, t;
  Zeros x;
  Pinned result(-1);
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  Stream origin;
  CUDA(cudaStreamBeginCapture(origin, cudaStreamCaptureModeRelaxed));
  launch_add(x, x, 1, origin);
  CUDA(cudaStreamEndCapture(origin, &graph));
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  size_t count = 1;
  cudaGraphNode_t node;
  CUDA(cudaGraphGetNodes(graph, &node, &count));
  CUDA(cudaGraphLaunch(exec, s));
  CUDA(cudaGraphLaunch(exec, t));  // comes after the launch before it, in whatever stream
  cudaKernelNodeParams params;
  CUDA(cudaGraphKernelNodeGetParams(node, &params));
  float *px = x, by = 10;
  int n = kCount;
  void* arguments[] = {&px, &px, &by, &n};
  params.kernelParams = arguments;
  CUDA(cudaGraphExecKernelNodeSetParams(exec, node, &params));  // of later launches
  CUDA(cudaGraphLaunch(exec, s));
  CUDA(cudaGraphExecDestroy(exec));
  CUDA(cudaGraphDestroy(graph));
  CUDA(cudaMemcpyAsync(result, x, kBytes, cudaMemcpyDeviceToHost, s));
  CUDA(cudaStreamSynchronize(s));
  CHECK(result[kCount - 1] == 12);
}

CASE(host_threads) {
  std::vector<std::thread> threads;
  float values[4] = {};
  for (int k = 0; k < 4; ++k)
    threads.emplace_back([k, &values] {
      Stream a, b;
      Event produced;
      Zeros x;
      for (int round = 0; round < 5; ++round) {
        launch_add(x, x, float(k), a);
        CUDA(cudaEventRecord(produced, a));
        CUDA(cudaStreamWaitEvent(b, produced, 0));
        launch_add(x, x, 1, b);
        CUDA(cudaEventRecord(produced, b));
        CUDA(cudaStreamWaitEvent(a, produced, 0));
      }
      Pinned result(-1);
      CUDA(cudaMemcpyAsync(result, x, kBytes, cudaMemcpyDeviceToHost, a));
      CUDA(cudaStreamSynchronize(a));
      values[k] = result[kCount - 1];
    });
  for (auto& thread : threads) thread.join();
  for (int k = 0; k < 4; ++k) CHECK(values[k] == 5.0f * float(k + 1));
}
