// Graphs: their nodes and edges, and how both change.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "runtime/graph.h"

using namespace tweedie::vgpu;

namespace {

cudaError_t give(const std::vector<CUgraphNode_st*>& found, cudaGraphNode_t* nodes, size_t* count) {
  if (nodes) std::copy_n(found.begin(), std::min(*count, found.size()), nodes);
  *count = nodes ? std::min(*count, found.size()) : found.size();
  return cudaSuccess;
}
// All edges are plain ones.
void give_plain(cudaGraphEdgeData* edges, size_t count) {
  if (edges) std::memset(edges, 0, count * sizeof *edges);
}

bool depends(const CUgraphNode_st* node, const CUgraphNode_st* on) {
  return std::count(node->dependencies.begin(), node->dependencies.end(), on) > 0;
}
// Are all pairs two nodes of the graph, with or without an edge between them?
bool are_pairs(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to, size_t count, bool edge) {
  for (size_t k = 0; k < count; ++k)
    if (!from[k] || !to[k] || from[k]->graph != graph || to[k]->graph != graph || from[k] == to[k] ||
        depends(to[k], from[k]) != edge)
      return false;
  return true;
}

const char* name_of(const CUgraphNode_st& node) {
  static const char* names[] = {"KERNEL",       "MEMCPY",     "MEMSET", "HOST",      "EMPTY",
                                "EVENT_RECORD", "WAIT_EVENT", "GRAPH",  "MEM_ALLOC", "MEM_FREE"};
  return names[static_cast<int>(node.type)];
}
void print_graph(std::FILE* file, const CUgraph_st& graph) {
  for (const auto& node : graph.nodes) {
    const auto* kernel = static_cast<const Kernel*>(node->kernel.func);
    std::fprintf(file, "  \"%p\" [label=\"%s%s%s\"];\n", static_cast<void*>(node.get()), name_of(*node),
                 kernel ? "\\n" : "", kernel ? kernel->name.c_str() : "");
    for (const auto* dependency : node->dependencies)
      std::fprintf(file, "  \"%p\" -> \"%p\";\n", static_cast<const void*>(dependency), static_cast<void*>(node.get()));
    if (node->child) print_graph(file, *node->child);
  }
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  std::vector<CUgraphNode_st*> found;
  for (const auto& node : graph->nodes) found.push_back(node.get());
  return give(found, nodes, count);
}
cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  std::vector<CUgraphNode_st*> found;
  for (const auto& node : graph->nodes)
    if (node->dependencies.empty()) found.push_back(node.get());
  return give(found, nodes, count);
}
cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* edges,
                              size_t* count) {
  std::vector<CUgraphNode_st*> begins, ends;
  for (const auto& node : graph->nodes)
    for (auto* dependency : node->dependencies) begins.push_back(dependency), ends.push_back(node.get());
  size_t same = *count;
  (void)give(ends, to, &same);
  (void)give(begins, from, count);
  give_plain(edges, *count);
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  *type = public_type(node->type);
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData* edges,
                                         size_t* count) {
  (void)give(node->dependencies, nodes, count);
  give_plain(edges, *count);
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData* edges,
                                           size_t* count) {
  std::vector<CUgraphNode_st*> found;
  for (const auto& other : node->graph->nodes)
    if (depends(other.get(), node)) found.push_back(other.get());
  (void)give(found, nodes, count);
  give_plain(edges, *count);
  return cudaSuccess;
}
cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                     const cudaGraphEdgeData*, size_t count) {
  if (!are_pairs(graph, from, to, count, false)) return set_error(cudaErrorInvalidValue);
  for (size_t k = 0; k < count; ++k) to[k]->dependencies.push_back(from[k]);
  return cudaSuccess;
}
cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                        const cudaGraphEdgeData*, size_t count) {
  if (!are_pairs(graph, from, to, count, true)) return set_error(cudaErrorInvalidValue);
  for (size_t k = 0; k < count; ++k) std::erase(to[k]->dependencies, from[k]);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) {
  auto& nodes = node->graph->nodes;
  for (const auto& other : nodes) std::erase(other->dependencies, node);
  std::erase_if(nodes, [&](const auto& other) { return other.get() == node; });
  return cudaSuccess;
}
cudaError_t cudaGraphNodeFindInClone(cudaGraphNode_t* node, cudaGraphNode_t original, cudaGraph_t clone) {
  const auto found = clone->from_source.find(original);
  if (found == clone->from_source.end()) return set_error(cudaErrorInvalidValue);
  *node = found->second;
  return cudaSuccess;
}
cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned) {
  std::FILE* file = std::fopen(path, "w");
  if (!file) return set_error(cudaErrorOperatingSystem);
  std::fputs("digraph dot {\n", file);
  print_graph(file, *graph);
  std::fputs("}\n", file);
  return std::fclose(file) == 0 ? cudaSuccess : set_error(cudaErrorOperatingSystem);
}

// Capture, edited while it goes on.
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t handle, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                                          const cudaGraphEdgeData*, size_t count, cudaStreamCaptureMode mode) {
  for (size_t k = 0; k < count; ++k)
    if (!dependencies[k] || dependencies[k]->graph != graph) return set_error(cudaErrorInvalidValue);
  if (const cudaError_t error = cudaStreamBeginCapture(handle, mode)) return error;
  CUstream_st* stream = stream_of(handle);
  delete stream->capture;
  stream->capture = graph;
  stream->tail.assign(dependencies, dependencies + count);
  return cudaSuccess;
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t handle, cudaGraphNode_t* dependencies,
                                                const cudaGraphEdgeData*, size_t count, unsigned flags) {
  CUstream_st* stream = stream_of(handle);
  if (!stream->capture) return set_error(cudaErrorIllegalState);
  for (size_t k = 0; k < count; ++k)
    if (!dependencies[k] || dependencies[k]->graph != stream->capture) return set_error(cudaErrorInvalidValue);
  if (flags == cudaStreamSetCaptureDependencies) stream->tail.clear();
  for (size_t k = 0; k < count; ++k)
    if (std::count(stream->tail.begin(), stream->tail.end(), dependencies[k]) == 0)
      stream->tail.push_back(dependencies[k]);
  return cudaSuccess;
}

}  // extern "C"
#pragma GCC visibility pop
