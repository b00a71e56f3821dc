// Graphs: neighbours of nodes, nodes that leave, and nodes that own memory.
#include <algorithm>
#include <cstdio>

#include "runtime/state.h"

using namespace tweedie::vgpu;

namespace {

cudaError_t give(const std::vector<CUgraphNode_st*>& found, cudaGraphNode_t* nodes, size_t* count) {
  if (nodes) std::copy_n(found.begin(), std::min(*count, found.size()), nodes);
  *count = nodes ? std::min(*count, found.size()) : found.size();
  return cudaSuccess;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData*,
                                         size_t* count) {
  return give(node->dependencies, nodes, count);
}
cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData*,
                                           size_t* count) {
  std::vector<CUgraphNode_st*> found;
  for (const auto& other : node->graph->nodes)
    if (std::count(other->dependencies.begin(), other->dependencies.end(), node) > 0) found.push_back(other.get());
  return give(found, nodes, count);
}
cudaError_t cudaGraphRemoveDependencies(cudaGraph_t, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                        const cudaGraphEdgeData*, size_t count) {
  for (size_t k = 0; k < count; ++k) std::erase(to[k]->dependencies, from[k]);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) {
  auto& nodes = node->graph->nodes;
  for (const auto& other : nodes) std::erase(other->dependencies, node);
  std::erase_if(nodes, [&](const auto& other) { return other.get() == node; });
  return cudaSuccess;
}

// The memory has its address from the start and is the graph's for as long as the program runs: a node that frees it
// leaves it for the next launch.
cudaError_t cudaGraphAddMemAllocNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                     size_t count, cudaMemAllocNodeParams* params) {
  if (const cudaError_t error = cudaMalloc(&params->dptr, params->bytesize)) return error;
  return cudaGraphAddEmptyNode(node, graph, dependencies, count);
}
cudaError_t cudaGraphAddMemFreeNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                    size_t count, void*) {
  return cudaGraphAddEmptyNode(node, graph, dependencies, count);
}
cudaError_t cudaDeviceGraphMemTrim(int) {
  return cudaSuccess;
}

}  // extern "C"
#pragma GCC visibility pop
