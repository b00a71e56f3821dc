// Updates of executable graphs from graphs of the same shape.
#include "runtime/graph.h"

using namespace tweedie::vgpu;

namespace {

// What a node does, in place of what another of its kind did.
void take_over(CUgraphNode_st& node, const CUgraphNode_st& from) {
  CUgraphNode_st old = std::move(node);
  node = from;
  node.dependencies = std::move(old.dependencies);
  node.graph = old.graph;
  node.enabled = old.enabled;
  node.child = std::move(old.child);
}

// The first node that is another one in `b`, where the graphs differ in more than what their nodes of one kind do.
cudaGraphExecUpdateResult compare(const CUgraph_st& a, const CUgraph_st& b, cudaGraphNode_t& where) {
  if (a.nodes.size() != b.nodes.size()) return cudaGraphExecUpdateErrorTopologyChanged;
  std::map<const CUgraphNode_st*, std::size_t> number;
  for (std::size_t k = 0; k < a.nodes.size(); ++k) number[a.nodes[k].get()] = number[b.nodes[k].get()] = k;
  const auto numbers = [&](const CUgraphNode_st& node) {
    std::set<std::size_t> before;
    for (const auto* dependency : node.dependencies) before.insert(number.at(dependency));
    return before;
  };
  for (std::size_t k = 0; k < a.nodes.size(); ++k) {
    const auto &mine = *a.nodes[k], &other = *b.nodes[k];
    where = b.nodes[k].get();
    if (numbers(mine) != numbers(other)) return cudaGraphExecUpdateErrorTopologyChanged;
    if (mine.type != other.type) return cudaGraphExecUpdateErrorNodeTypeChanged;
    if (mine.type == NodeType::alloc || mine.type == NodeType::release)
      if (mine.memory.dptr != other.memory.dptr) return cudaGraphExecUpdateErrorParametersChanged;
    if (mine.child)
      if (const auto result = compare(*mine.child, *other.child, where)) return result;
  }
  where = nullptr;
  return cudaGraphExecUpdateSuccess;
}
void update(CUgraph_st& graph, const CUgraph_st& from) {
  for (std::size_t k = 0; k < graph.nodes.size(); ++k) {
    take_over(*graph.nodes[k], *from.nodes[k]);
    if (graph.nodes[k]->child) update(*graph.nodes[k]->child, *from.nodes[k]->child);
  }
}

cudaError_t compare_and_update(CUgraph_st& graph, const CUgraph_st& from, cudaGraphExecUpdateResultInfo& info) {
  info = {};
  info.result = compare(graph, from, info.errorNode);
  if (info.result != cudaGraphExecUpdateSuccess) return cudaErrorGraphExecUpdateFailure;
  update(graph, from);
  return cudaSuccess;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* result) {
  cudaGraphExecUpdateResultInfo info;
  const cudaError_t error = compare_and_update(*exec->graph, *graph, info);
  if (result) *result = info;
  return set_error(error);
}
cudaError_t cudaGraphExecChildGraphNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraph_t child) {
  CUgraphNode_st* mine = in_exec(exec, node);
  if (!mine || mine->type != NodeType::child || !child) return set_error(cudaErrorInvalidValue);
  cudaGraphExecUpdateResultInfo info;
  return set_error(compare_and_update(*mine->child, *child, info));
}

}  // extern "C"
#pragma GCC visibility pop
