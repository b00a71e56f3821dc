// Streams, events, graphs, attributes and errors of the runtime.
#include "harness.h"

__global__ void add(float* x, float by, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += by;
}
__global__ void __launch_bounds__(128) bounded(float* x) {
  x[threadIdx.x] = threadIdx.x;
}
__global__ void dynamic(float* x) {
  extern __shared__ float big[];
  big[threadIdx.x * 100] = threadIdx.x;
  __syncthreads();
  x[threadIdx.x] = big[threadIdx.x * 100];
}

CASE(streams_and_events) {
  cudaStream_t a, b;
  CUDA(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
  CUDA(cudaStreamCreate(&b));
  cudaEvent_t start, end;
  CUDA(cudaEventCreate(&start));
  CUDA(cudaEventCreate(&end));
  Device<float> x(100);
  CUDA(cudaEventRecord(start, a));
  CUDA(cudaMemsetAsync(x, 0, 400, a));
  add<<<1, 128, 0, a>>>(x, 2, 100);
  CUDA(cudaEventRecord(end, a));
  CUDA(cudaStreamWaitEvent(b, end, 0));
  add<<<1, 128, 0, b>>>(x, 3, 100);
  CUDA(cudaStreamSynchronize(b));
  float milliseconds = -1;
  CUDA(cudaEventSynchronize(end));
  CUDA(cudaEventElapsedTime(&milliseconds, start, end));
  CHECK(milliseconds >= 0);
  CHECK(x.get()[99] == 5);
  int calls = 0;
  CUDA(cudaLaunchHostFunc(
      a, [](void* data) { ++*static_cast<int*>(data); }, &calls));
  CUDA(cudaStreamSynchronize(a));
  CHECK(calls == 1);
  float* from_pool;
  CUDA(cudaMallocAsync(&from_pool, 1000, a));
  CUDA(cudaFreeAsync(from_pool, a));
  CUDA(cudaStreamDestroy(a));
  CUDA(cudaStreamDestroy(b));
}

CASE(graphs) {
  cudaStream_t s, side;
  CUDA(cudaStreamCreate(&s));
  CUDA(cudaStreamCreate(&side));
  cudaEvent_t fork, join;
  CUDA(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  CUDA(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  Device<float> x(std::vector<float>(100, 1)), y(std::vector<float>(100, 0));
  std::vector<float> host(100);
  CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
  add<<<1, 128, 0, s>>>(x, 1, 100);
  CUDA(cudaEventRecord(fork, s));
  CUDA(cudaStreamWaitEvent(side, fork, 0));
  CUDA(cudaMemcpyAsync(y, x, 400, cudaMemcpyDeviceToDevice, side));
  CUDA(cudaEventRecord(join, side));
  CUDA(cudaStreamWaitEvent(s, join, 0));
  add<<<1, 128, 0, s>>>(y, 10, 100);
  cudaStreamCaptureStatus capturing;
  CUDA(cudaStreamIsCapturing(s, &capturing));
  CHECK(capturing == cudaStreamCaptureStatusActive);
  cudaGraph_t graph;
  CUDA(cudaStreamEndCapture(s, &graph));
  CHECK(x.get()[0] == 1);
  size_t nodes = 0;
  CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
  CHECK(nodes == 3);
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  for (int k = 0; k < 3; ++k) CUDA(cudaGraphLaunch(exec, s));
  CUDA(cudaStreamSynchronize(s));
  CHECK(x.get()[99] == 4 && y.get()[99] == 14);
  std::vector<cudaGraphNode_t> list(nodes);
  CUDA(cudaGraphGetNodes(graph, list.data(), &nodes));
  cudaKernelNodeParams params;
  CUDA(cudaGraphKernelNodeGetParams(list[0], &params));
  float* px = x;
  float by = 100;
  int n = 100;
  void* arguments[] = {&px, &by, &n};
  params.kernelParams = arguments;
  CUDA(cudaGraphExecKernelNodeSetParams(exec, list[0], &params));
  CUDA(cudaGraphLaunch(exec, s));
  CHECK(x.get()[0] == 104);
  CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
  add<<<1, 128, 0, s>>>(x, 1000, 100);
  CUDA(cudaStreamEndCapture(s, &graph));
  cudaGraphExec_t other;
  CUDA(cudaGraphInstantiate(&other, graph, 0));
  CUDA(cudaGraphLaunch(other, s));
  CHECK(x.get()[0] == 1104);
  CUDA(cudaGraphExecDestroy(exec));
  CUDA(cudaGraphDestroy(graph));
}

CASE(attributes) {
  cudaDeviceProp properties;
  CUDA(cudaGetDeviceProperties(&properties, 0));
  CHECK(properties.warpSize == 32 && properties.major >= 8);
  int count = 0, value = 0;
  CUDA(cudaGetDeviceCount(&count));
  CHECK(count >= 1);
  CUDA(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  CHECK(value == int(properties.sharedMemPerBlockOptin));
  cudaFuncAttributes attributes;
  CUDA(cudaFuncGetAttributes(&attributes, bounded));
  CHECK(attributes.maxThreadsPerBlock == 128 && attributes.numRegs > 0);
  int blocks = 0;
  CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, bounded, 128, 0));
  CHECK(blocks >= 8 && blocks <= 32);
  int grid = 0, block = 0;
  CUDA(cudaOccupancyMaxPotentialBlockSize(&grid, &block, bounded, 0, 0));
  CHECK(grid > 0 && block > 0 && block <= 128);
  Device<float> x(128);
  CUDA(cudaFuncSetAttribute(dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 60000));
  dynamic<<<1, 128, 60000>>>(x);
  CHECK(x.get()[127] == 127);
  cudaLaunchConfig_t config = {};
  config.gridDim = 1;
  config.blockDim = 128;
  float* p = x;
  CUDA(cudaLaunchKernelEx(&config, bounded, p));
  CHECK(x.get()[5] == 5);
  CHECK(std::string(cudaGetErrorString(cudaErrorMemoryAllocation)) == "out of memory");
  CHECK(std::string(cudaGetErrorName(cudaErrorInvalidValue)) == "cudaErrorInvalidValue");
}

CASE(graph_memory_and_neighbours) {
  const int n = 100;
  cudaGraph_t graph;
  CUDA(cudaGraphCreate(&graph, 0));
  cudaMemAllocNodeParams memory = {};
  memory.poolProps.allocType = cudaMemAllocationTypePinned;
  memory.poolProps.location.type = cudaMemLocationTypeDevice;
  memory.bytesize = n * sizeof(float);
  cudaGraphNode_t made, zeroed, added, copied, freed, extra;
  CUDA(cudaGraphAddMemAllocNode(&made, graph, nullptr, 0, &memory));
  float* x = static_cast<float*>(memory.dptr);
  cudaMemsetParams fill = {};
  fill.dst = x, fill.elementSize = 4, fill.width = n, fill.height = 1;
  CUDA(cudaGraphAddMemsetNode(&zeroed, graph, &made, 1, &fill));
  float by = 3;
  int count = n;
  void* arguments[] = {&x, &by, &count};
  cudaKernelNodeParams kernel = {};
  kernel.func = reinterpret_cast<void*>(add), kernel.gridDim = dim3(1), kernel.blockDim = dim3(128);
  kernel.kernelParams = arguments;
  CUDA(cudaGraphAddKernelNode(&added, graph, &zeroed, 1, &kernel));
  CUDA(cudaGraphAddKernelNode(&extra, graph, &added, 1, &kernel));
  std::vector<float> host(n);
  CUDA(cudaGraphAddMemcpyNode1D(&copied, graph, &added, 1, host.data(), x, n * sizeof(float), cudaMemcpyDeviceToHost));
  CUDA(cudaGraphAddMemFreeNode(&freed, graph, &copied, 1, x));
  size_t neighbours = 0;
  CUDA(cudaGraphNodeGetDependentNodes(added, nullptr, nullptr, &neighbours));
  CHECK(neighbours == 2);
  CUDA(cudaGraphDestroyNode(extra));
  CUDA(cudaGraphNodeGetDependentNodes(added, nullptr, nullptr, &neighbours));
  CHECK(neighbours == 1);
  cudaGraphNode_t before = nullptr;
  CUDA(cudaGraphNodeGetDependencies(copied, &before, nullptr, &neighbours));
  CHECK(before == added);
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  for (int launch = 0; launch < 2; ++launch) {
    host.assign(n, 0);
    CUDA(cudaGraphLaunch(exec, nullptr));
    CUDA(cudaDeviceSynchronize());
    CHECK(host[n - 1] == 3);
  }
  CUDA(cudaGraphExecDestroy(exec));
  CUDA(cudaGraphDestroy(graph));
}

CASE(peers_and_pinned_memory) {
  int can = -1;
  CUDA(cudaDeviceCanAccessPeer(&can, 0, 0));
  CHECK(can == 0 && cudaDeviceCanAccessPeer(&can, 0, 1) == cudaErrorInvalidDevice);
  CHECK(cudaDeviceGetP2PAttribute(&can, cudaDevP2PAttrAccessSupported, 0, 0) == cudaErrorInvalidDevice);
  cudaGetLastError();
  void* pinned;
  unsigned flags = 0;
  CUDA(cudaMallocHost(&pinned, 100));
  CUDA(cudaHostGetFlags(&flags, pinned));
  CHECK(flags & cudaHostAllocMapped);
  CUDA(cudaFreeHost(pinned));
  cudaMemPool_t pool;
  cudaMemAccessFlags access;
  cudaMemLocation here = {cudaMemLocationTypeDevice, 0};
  CUDA(cudaDeviceGetDefaultMemPool(&pool, 0));
  CUDA(cudaMemPoolGetAccess(&access, pool, &here));
  CHECK(access == cudaMemAccessFlagsProtReadWrite);
}

CASE(pools_and_names) {
  cudaStream_t stream;
  CUDA(cudaStreamCreate(&stream));
  cudaMemPool_t pool;
  CUDA(cudaDeviceGetDefaultMemPool(&pool, 0));
  uint64_t before = 0, during = 0, after = 0;
  CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &before));
  void* memory;
  CUDA(cudaMallocAsync(&memory, 4000, stream));
  CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &during));
  CUDA(cudaFreeAsync(memory, stream));
  CUDA(cudaStreamSynchronize(stream));
  CUDA(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &after));
  CHECK(during >= before + 4000 && after == before);
  cudaStreamAttrValue value = {}, back = {};
  value.priority = -1;
  CUDA(cudaStreamSetAttribute(stream, cudaStreamAttributePriority, &value));
  CUDA(cudaStreamGetAttribute(stream, cudaStreamAttributePriority, &back));
  CHECK(back.priority == -1);
  CUDA(cudaStreamDestroy(stream));
  char name[32];
  int device = -1;
  CUDA(cudaDeviceGetPCIBusId(name, sizeof name, 0));
  CUDA(cudaDeviceGetByPCIBusId(&device, name));
  CHECK(device == 0);
}
