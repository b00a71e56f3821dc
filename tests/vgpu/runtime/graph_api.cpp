// Graphs: their nodes, executables and launches.
#include <algorithm>

#include "core/settings.h"
#include "exec/report.h"
#include "runtime/graph.h"

namespace tweedie::vgpu {
namespace {

// Adds a node of a kind and sets what it does, or leaves the graph as it was.
template <class Set>
cudaError_t add(cudaGraphNode_t* node, cudaGraph_t graph, NodeType type, const cudaGraphNode_t* dependencies,
                size_t count, Set set) {
  CUgraphNode_st* made = node ? add_node(graph, type, dependencies, count) : nullptr;
  if (!made) return set_error(cudaErrorInvalidValue);
  if (const cudaError_t error = set(*made)) {
    graph->nodes.pop_back();
    return set_error(error);
  }
  *node = made;
  return cudaSuccess;
}

}  // namespace
}  // namespace tweedie::vgpu

using namespace tweedie::vgpu;

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  *graph = new CUgraph_st;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphClone(cudaGraph_t* clone, cudaGraph_t graph) {
  std::map<CUgraphNode_st*, CUgraphNode_st*> map;
  *clone = clone_graph(*graph, map).release();
  (*clone)->from_source = std::move(map);
  return cudaSuccess;
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                             const cudaGraphEdgeData*, size_t count, cudaGraphNodeParams* params) {
  for (const NodeType type :
       {NodeType::kernel, NodeType::copy, NodeType::fill, NodeType::host, NodeType::child, NodeType::empty,
        NodeType::event_record, NodeType::event_wait, NodeType::alloc, NodeType::release})
    if (public_type(type) == params->type)
      return add(node, graph, type, dependencies, count, [&](auto& made) { return set_params(made, *params); });
  report(fmt::format("unsupported: graph nodes of type {}", static_cast<int>(params->type)));
  return set_error(cudaErrorNotSupported);
}
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaKernelNodeParams* params) {
  return add(node, graph, NodeType::kernel, dependencies, count, [&](auto& n) { return set_kernel(n, *params); });
}
cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemsetParams* params) {
  return add(node, graph, NodeType::fill, dependencies, count, [&](auto& n) { return set_memset(n, *params); });
}
cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                   size_t count, const cudaMemcpy3DParms* params) {
  return add(node, graph, NodeType::copy, dependencies, count, [&](auto& n) { return set_copy(n, *params); });
}
cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     size_t count, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaMemcpy3DParms params = line(to, from, bytes, kind);
  return cudaGraphAddMemcpyNode(node, graph, dependencies, count, &params);
}
cudaError_t cudaGraphAddMemcpyNodeToSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                           const cudaGraphNode_t* dependencies, size_t count, const void* symbol,
                                           const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  if (const cudaError_t error = line_to_symbol(params, symbol, from, bytes, offset, kind)) return set_error(error);
  return cudaGraphAddMemcpyNode(node, graph, dependencies, count, &params);
}
cudaError_t cudaGraphAddMemcpyNodeFromSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                             const cudaGraphNode_t* dependencies, size_t count, void* to,
                                             const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind) {
  cudaMemcpy3DParms params;
  if (const cudaError_t error = line_from_symbol(params, to, symbol, bytes, offset, kind)) return set_error(error);
  return cudaGraphAddMemcpyNode(node, graph, dependencies, count, &params);
}
cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                 size_t count, const cudaHostNodeParams* params) {
  return add(node, graph, NodeType::host, dependencies, count, [&](auto& n) { return set_host(n, *params); });
}
cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                  size_t count) {
  return add(node, graph, NodeType::empty, dependencies, count, [](auto&) { return cudaSuccess; });
}
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                       size_t count, cudaGraph_t child) {
  return add(node, graph, NodeType::child, dependencies, count, [&](auto& n) { return set_child(n, child); });
}
cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                        size_t count, cudaEvent_t event) {
  return add(node, graph, NodeType::event_record, dependencies, count, [&](auto& n) { return set_event(n, event); });
}
cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                      size_t count, cudaEvent_t event) {
  return add(node, graph, NodeType::event_wait, dependencies, count, [&](auto& n) { return set_event(n, event); });
}
cudaError_t cudaGraphAddMemAllocNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     size_t count, cudaMemAllocNodeParams* params) {
  return add(node, graph, NodeType::alloc, dependencies, count, [&](auto& n) { return set_alloc(n, *params); });
}
cudaError_t cudaGraphAddMemFreeNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                    size_t count, void* pointer) {
  return add(node, graph, NodeType::release, dependencies, count, [&](auto& n) { return set_free(n, pointer); });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  if (!exec || !graph || has_cycle(*graph)) return set_error(cudaErrorInvalidValue);
  if (flags & cudaGraphInstantiateFlagDeviceLaunch) {
    report("unsupported: graphs that the device launches");
    return set_error(cudaErrorNotSupported);
  }
  auto made = std::make_unique<CUgraphExec_st>();
  made->flags = flags;
  made->graph = clone_graph(*graph, made->from_source);
  *exec = made.release();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiateWithFlags(exec, graph, flags);
}
cudaError_t cudaGraphInstantiateWithParams(cudaGraphExec_t* exec, cudaGraph_t graph,
                                           cudaGraphInstantiateParams* params) {
  const cudaError_t error = cudaGraphInstantiateWithFlags(exec, graph, params->flags);
  params->result_out = !error                           ? cudaGraphInstantiateSuccess
                       : error == cudaErrorNotSupported ? cudaGraphInstantiateError
                                                        : cudaGraphInstantiateInvalidStructure;
  return error;
}
cudaError_t cudaGraphExecGetFlags(cudaGraphExec_t exec, unsigned long long* flags) {
  *flags = exec->flags;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (stream_of(stream)->capture)
    return enqueue(stream, NodeType::child, {},
                   [&](CUgraphNode_st& node) { (void)set_child(node, exec->graph.get()); });
  return set_error(deferred() ? launch_later(*exec, *stream_of(stream)) : run_graph(*exec->graph));
}

}  // extern "C"
#pragma GCC visibility pop
