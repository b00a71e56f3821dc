// Graphs that a program builds, asks about, changes and copies.
#include <algorithm>

#include "harness.h"

namespace {

constexpr int kCount = 100;

__global__ void set(float* x, float value) {
  if (threadIdx.x < kCount) x[threadIdx.x] = value;
}
__global__ void set_double(float* x, float value) {
  if (threadIdx.x < kCount) x[threadIdx.x] = 2 * value;
}
__global__ void axpy(float* y, const float* x, float a) {
  if (threadIdx.x < kCount) y[threadIdx.x] += a * x[threadIdx.x];
}
__device__ float table[32];
__constant__ float few[4];
__global__ void look_up(float* out) {
  out[threadIdx.x] = table[threadIdx.x] + few[threadIdx.x % 4];
}

cudaKernelNodeParams kernel(void* function, void** arguments) {
  cudaKernelNodeParams params = {};
  params.func = function;
  params.gridDim = dim3(1), params.blockDim = dim3(128);
  params.kernelParams = arguments;
  return params;
}
void count_call(void* data) {
  ++*static_cast<int*>(data);
}

// y = 0 (memset); x = 3 (kernel); y += 2 x (kernel); host = y; a host function; an event recorded and waited for.
struct Chain {
  Device<float> x{kCount}, y{kCount};
  std::vector<float> host = std::vector<float>(kCount);
  int calls = 0;
  float *px = x, *py = y, value = 3, factor = 2;
  void* set_arguments[2] = {&px, &value};
  void* axpy_arguments[3] = {&py, &px, &factor};
  cudaKernelNodeParams setting = kernel(reinterpret_cast<void*>(set), set_arguments);
  cudaKernelNodeParams adding = kernel(reinterpret_cast<void*>(axpy), axpy_arguments);
  cudaMemsetParams zero = {};
  cudaHostNodeParams counting = {count_call, &calls};
  cudaEvent_t event, other;
  cudaGraph_t graph;
  cudaGraphNode_t zeroed, made, added, copied, counted, recorded, waited;
  Chain() {
    CUDA(cudaEventCreate(&event));
    CUDA(cudaEventCreate(&other));
    CUDA(cudaGraphCreate(&graph, 0));
    zero.dst = py, zero.elementSize = 4, zero.width = kCount, zero.height = 1;
    CUDA(cudaGraphAddMemsetNode(&zeroed, graph, nullptr, 0, &zero));
    CUDA(cudaGraphAddKernelNode(&made, graph, nullptr, 0, &setting));
    const cudaGraphNode_t both[] = {zeroed, made};
    CUDA(cudaGraphAddKernelNode(&added, graph, both, 2, &adding));
    CUDA(cudaGraphAddMemcpyNode1D(&copied, graph, &added, 1, host.data(), py, 4 * kCount, cudaMemcpyDeviceToHost));
    CUDA(cudaGraphAddHostNode(&counted, graph, &copied, 1, &counting));
    CUDA(cudaGraphAddEventRecordNode(&recorded, graph, &counted, 1, event));
    CUDA(cudaGraphAddEventWaitNode(&waited, graph, &recorded, 1, event));
  }
  ~Chain() { CUDA(cudaGraphDestroy(graph)); }
  cudaGraphExec_t instance() const {
    cudaGraphExec_t exec;
    CUDA(cudaGraphInstantiate(&exec, graph, 0));
    return exec;
  }
  float after(cudaGraphExec_t exec) {
    CUDA(cudaGraphLaunch(exec, nullptr));
    CUDA(cudaDeviceSynchronize());
    return host[kCount - 1];
  }
};

cudaGraphNodeType type_of(cudaGraphNode_t node) {
  cudaGraphNodeType type;
  CUDA(cudaGraphNodeGetType(node, &type));
  return type;
}
size_t nodes_of(cudaGraph_t graph) {
  size_t count = 0;
  CUDA(cudaGraphGetNodes(graph, nullptr, &count));
  return count;
}
void refused(cudaError_t error, cudaError_t expected = cudaErrorInvalidValue) {
  CHECK(error == expected);
  cudaGetLastError();
}

}  // namespace

CASE(nodes_and_edges) {
  Chain chain;
  CHECK(chain.after(chain.instance()) == 6 && chain.calls == 1);
  CHECK(nodes_of(chain.graph) == 7);
  size_t count = 0;
  CUDA(cudaGraphGetRootNodes(chain.graph, nullptr, &count));
  CHECK(count == 2);
  CUDA(cudaGraphGetEdges(chain.graph, nullptr, nullptr, nullptr, &count));
  CHECK(count == 6);
  std::vector<cudaGraphNode_t> from(count), to(count);
  std::vector<cudaGraphEdgeData> edges(count);
  CUDA(cudaGraphGetEdges(chain.graph, from.data(), to.data(), edges.data(), &count));
  CHECK(from[0] == chain.zeroed && to[0] == chain.added && edges[0].type == 0);
  CHECK(type_of(chain.recorded) == cudaGraphNodeTypeEventRecord && type_of(chain.waited) == cudaGraphNodeTypeWaitEvent);
  cudaEvent_t event = nullptr;
  CUDA(cudaGraphEventRecordNodeGetEvent(chain.recorded, &event));
  CHECK(event == chain.event && cudaEventQuery(event) == cudaSuccess);
  CUDA(cudaGraphEventWaitNodeSetEvent(chain.waited, chain.other));
  CUDA(cudaGraphEventWaitNodeGetEvent(chain.waited, &event));
  CHECK(event == chain.other);
  refused(cudaGraphAddDependencies(chain.graph, &chain.zeroed, &chain.added, nullptr, 1));  // is there already
  CUDA(cudaGraphAddDependencies(chain.graph, &chain.zeroed, &chain.made, nullptr, 1));
  CUDA(cudaGraphNodeGetDependencies(chain.made, nullptr, nullptr, &count));
  CHECK(count == 1);
  CUDA(cudaGraphRemoveDependencies(chain.graph, &chain.zeroed, &chain.made, nullptr, 1));
  refused(cudaGraphRemoveDependencies(chain.graph, &chain.zeroed, &chain.made, nullptr, 1));
  cudaGraph_t loop;
  CUDA(cudaGraphCreate(&loop, 0));
  cudaGraphNode_t first, second;
  CUDA(cudaGraphAddEmptyNode(&first, loop, nullptr, 0));
  CUDA(cudaGraphAddEmptyNode(&second, loop, &first, 1));
  refused(cudaGraphAddEmptyNode(&second, loop, &chain.made, 1));  // a node of another graph
  CUDA(cudaGraphAddDependencies(loop, &second, &first, nullptr, 1));
  cudaGraphExec_t exec;
  refused(cudaGraphInstantiate(&exec, loop, 0));
}

CASE(parameters_of_nodes) {
  Chain chain;
  cudaKernelNodeParams params;
  CUDA(cudaGraphKernelNodeGetParams(chain.added, &params));
  CHECK(params.func == reinterpret_cast<void*>(axpy) && params.blockDim.x == 128);
  CHECK(*static_cast<float*>(params.kernelParams[2]) == 2 && *static_cast<float**>(params.kernelParams[0]) == chain.py);
  cudaMemsetParams fill;
  CUDA(cudaGraphMemsetNodeGetParams(chain.zeroed, &fill));
  CHECK(fill.dst == chain.py && fill.width == kCount);
  cudaMemcpy3DParms copy;
  CUDA(cudaGraphMemcpyNodeGetParams(chain.copied, &copy));
  CHECK(copy.srcPtr.ptr == chain.py && copy.extent.width == 4 * kCount && copy.kind == cudaMemcpyDeviceToHost);
  cudaHostNodeParams call;
  CUDA(cudaGraphHostNodeGetParams(chain.counted, &call));
  CHECK(call.fn == count_call && call.userData == &chain.calls);
  refused(cudaGraphHostNodeGetParams(chain.copied, &call));
  const cudaGraphExec_t before = chain.instance();
  float five = 5;
  params.kernelParams[2] = &five;  // the other arguments stay where they are
  CUDA(cudaGraphKernelNodeSetParams(chain.added, &params));
  CHECK(chain.after(before) == 6 && chain.after(chain.instance()) == 15);
}

CASE(changed_executables) {
  Chain chain;
  const cudaGraphExec_t exec = chain.instance();
  cudaKernelNodeParams doubling = kernel(reinterpret_cast<void*>(set_double), chain.set_arguments);
  CUDA(cudaGraphExecKernelNodeSetParams(exec, chain.made, &doubling));  // another function
  CHECK(chain.after(exec) == 12);
  unsigned enabled = 0;
  CUDA(cudaGraphNodeSetEnabled(exec, chain.added, 0));
  CUDA(cudaGraphNodeGetEnabled(exec, chain.added, &enabled));
  CHECK(enabled == 0 && chain.after(exec) == 0);
  CUDA(cudaGraphNodeSetEnabled(exec, chain.added, 1));
  cudaMemsetParams ones = chain.zero;
  ones.value = 0x3f800000;
  CUDA(cudaGraphExecMemsetNodeSetParams(exec, chain.zeroed, &ones));
  CHECK(chain.after(exec) == 13);
  std::vector<float> elsewhere(kCount);
  CUDA(cudaGraphExecMemcpyNodeSetParams1D(exec, chain.copied, elsewhere.data(), chain.py, 4, cudaMemcpyDeviceToHost));
  chain.after(exec);
  CHECK(elsewhere[0] == 13 && elsewhere[1] == 0);
  int other_calls = 0;
  const cudaHostNodeParams counting = {count_call, &other_calls};
  CUDA(cudaGraphExecHostNodeSetParams(exec, chain.counted, &counting));
  CUDA(cudaGraphExecEventRecordNodeSetEvent(exec, chain.recorded, chain.other));
  chain.after(exec);
  CHECK(other_calls == 1 && cudaEventSynchronize(chain.other) == cudaSuccess);
  CUDA(cudaGraphDestroyNode(chain.waited));
  cudaGraphExecUpdateResultInfo info;
  refused(cudaGraphExecUpdate(exec, chain.graph, &info), cudaErrorGraphExecUpdateFailure);
  CHECK(info.result == cudaGraphExecUpdateErrorTopologyChanged);
}

CASE(clones_and_children) {
  Chain chain;
  cudaGraph_t clone;
  CUDA(cudaGraphClone(&clone, chain.graph));
  cudaGraphNode_t mine, none;
  CUDA(cudaGraphNodeFindInClone(&mine, chain.added, clone));
  refused(cudaGraphNodeFindInClone(&none, mine, clone));
  chain.factor = 7;
  CUDA(cudaGraphKernelNodeSetParams(mine, &chain.adding));
  cudaGraphExec_t exec = chain.instance();
  CHECK(chain.after(exec) == 6);
  CUDA(cudaGraphExecUpdate(exec, clone, nullptr));
  CHECK(chain.after(exec) == 21);
  chain.factor = 1;
  CUDA(cudaGraphExecKernelNodeSetParams(exec, chain.added, &chain.adding));  // the first graph's nodes still name them
  CHECK(chain.after(exec) == 3);
  cudaGraph_t parent, inner;
  CUDA(cudaGraphCreate(&parent, 0));
  cudaGraphNode_t child, after, copied;
  CUDA(cudaGraphAddChildGraphNode(&child, parent, nullptr, 0, chain.graph));
  CUDA(cudaGraphAddKernelNode(&after, parent, &child, 1, &chain.adding));
  CUDA(cudaGraphAddMemcpyNode1D(&copied, parent, &after, 1, chain.host.data(), chain.py, 4 * kCount,
                                cudaMemcpyDeviceToHost));
  CUDA(cudaGraphChildGraphNodeGetGraph(child, &inner));
  CHECK(nodes_of(inner) == 7 && inner != chain.graph);
  CUDA(cudaGraphInstantiate(&exec, parent, 0));
  CHECK(chain.after(exec) == 9);
  CUDA(cudaGraphExecChildGraphNodeSetParams(exec, child, clone));
  CHECK(chain.after(exec) == 24);
}

CASE(nodes_of_any_type) {
  cudaGraph_t graph;
  CUDA(cudaGraphCreate(&graph, 0));
  std::vector<float> values(32), constants = {1, 2, 3, 4}, out(32);
  for (int i = 0; i < 32; ++i) values[i] = 10.0f * i;
  cudaGraphNode_t first, second, made, looked, copied, freed;
  CUDA(cudaGraphAddMemcpyNodeToSymbol(&first, graph, nullptr, 0, table, values.data(), 128, 0, cudaMemcpyHostToDevice));
  refused(
      cudaGraphAddMemcpyNodeToSymbol(&second, graph, &first, 1, few, constants.data(), 16, 4, cudaMemcpyHostToDevice));
  CUDA(cudaGraphAddMemcpyNodeToSymbol(&second, graph, &first, 1, few, constants.data(), 16, 0, cudaMemcpyHostToDevice));
  cudaGraphNodeParams params = {};
  params.type = cudaGraphNodeTypeMemAlloc;
  params.alloc.poolProps.allocType = cudaMemAllocationTypePinned;
  params.alloc.poolProps.location.type = cudaMemLocationTypeDevice;
  params.alloc.bytesize = 128;
  CUDA(cudaGraphAddNode(&made, graph, &second, nullptr, 1, &params));
  auto* memory = static_cast<float*>(params.alloc.dptr);
  void* arguments[] = {&memory};
  params = {};
  params.type = cudaGraphNodeTypeKernel;
  params.kernel.func = reinterpret_cast<void*>(look_up);
  params.kernel.gridDim = dim3(1), params.kernel.blockDim = dim3(32);
  params.kernel.kernelParams = arguments;
  CUDA(cudaGraphAddNode(&looked, graph, &made, nullptr, 1, &params));
  params = {};
  params.type = cudaGraphNodeTypeMemcpy;
  params.memcpy.copyParams.srcPtr = {memory, 128, 128, 1};
  params.memcpy.copyParams.dstPtr = {out.data(), 128, 128, 1};
  params.memcpy.copyParams.extent = {128, 1, 1};
  params.memcpy.copyParams.kind = cudaMemcpyDeviceToHost;
  CUDA(cudaGraphAddNode(&copied, graph, &looked, nullptr, 1, &params));
  params = {};
  params.type = cudaGraphNodeTypeMemFree;
  params.free.dptr = memory;
  CUDA(cudaGraphAddNode(&freed, graph, &copied, nullptr, 1, &params));
  CHECK(type_of(made) == cudaGraphNodeTypeMemAlloc && type_of(freed) == cudaGraphNodeTypeMemFree);
  void* pointer = nullptr;
  CUDA(cudaGraphMemFreeNodeGetParams(freed, &pointer));
  CHECK(pointer == memory);
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  CUDA(cudaGraphLaunch(exec, nullptr));
  CUDA(cudaDeviceSynchronize());
  CHECK(out[31] == 314 && out[0] == 1);
  float back[2] = {};
  CUDA(cudaGraphMemcpyNodeSetParamsFromSymbol(copied, back, few, 8, 8, cudaMemcpyDeviceToHost));
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  CUDA(cudaGraphLaunch(exec, nullptr));
  CUDA(cudaDeviceSynchronize());
  CHECK(back[0] == 3 && back[1] == 4);
  CUDA(cudaGraphExecMemcpyNodeSetParamsFromSymbol(exec, copied, back, table, 8, 4, cudaMemcpyDeviceToHost));
  CUDA(cudaGraphLaunch(exec, nullptr));
  CUDA(cudaDeviceSynchronize());
  CHECK(back[0] == 10 && back[1] == 20);
}

CASE(captures_into_graphs) {
  Chain chain;
  cudaStream_t stream;
  CUDA(cudaStreamCreate(&stream));
  cudaGraph_t graph, ended;
  CUDA(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t root, counted;
  CUDA(cudaGraphAddKernelNode(&root, graph, nullptr, 0, &chain.setting));
  CUDA(cudaStreamBeginCaptureToGraph(stream, graph, &root, nullptr, 1, cudaStreamCaptureModeThreadLocal));
  CUDA(cudaMemsetAsync(chain.py, 0, 4 * kCount, stream));
  const cudaGraphNode_t* tail = nullptr;
  size_t count = 0;
  cudaStreamCaptureStatus capturing;
  CUDA(cudaStreamGetCaptureInfo(stream, &capturing, nullptr, nullptr, &tail, nullptr, &count));
  CHECK(count == 1);
  CUDA(cudaGraphAddHostNode(&counted, graph, tail, count, &chain.counting));
  CUDA(cudaStreamUpdateCaptureDependencies(stream, &counted, nullptr, 1, cudaStreamSetCaptureDependencies));
  axpy<<<1, 128, 0, stream>>>(chain.py, chain.px, 4);
  CUDA(cudaStreamEndCapture(stream, &ended));
  CHECK(ended == graph && nodes_of(graph) == 4);
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA(cudaGraphLaunch(exec, stream));  // becomes a child
  axpy<<<1, 128, 0, stream>>>(chain.py, chain.px, 1);
  CUDA(cudaStreamEndCapture(stream, &graph));
  CHECK(nodes_of(graph) == 2);
  cudaGraphNode_t both[2];
  count = 2;
  CUDA(cudaGraphGetNodes(graph, both, &count));
  CHECK(type_of(both[0]) == cudaGraphNodeTypeGraph);
  cudaKernelNodeParams params;
  CUDA(cudaGraphKernelNodeGetParams(both[1], &params));
  CHECK(params.func == reinterpret_cast<void*>(axpy) && *static_cast<float*>(params.kernelParams[2]) == 1);
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  CUDA(cudaGraphLaunch(exec, stream));
  CUDA(cudaStreamSynchronize(stream));
  CHECK(chain.y.get()[0] == 15 && chain.calls == 1);
  CUDA(cudaStreamDestroy(stream));
}
