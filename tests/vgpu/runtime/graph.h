// What the entry points of graphs share: nodes, and what each kind of them does.
#pragma once
#include "runtime/state.h"

namespace tweedie::vgpu {

// Null where a dependency is not a node of the graph.
CUgraphNode_st* add_node(CUgraph_st* graph, NodeType type, const cudaGraphNode_t* dependencies, size_t count);
// The executable's node that was made from a node of the source graph; null for none.
CUgraphNode_st* in_exec(cudaGraphExec_t exec, cudaGraphNode_t node);
cudaGraphNodeType public_type(NodeType type);
// Do the dependencies leave an order for the nodes?
bool has_cycle(const CUgraph_st& graph);

cudaError_t set_kernel(CUgraphNode_st& node, const cudaKernelNodeParams& params);
cudaError_t set_memset(CUgraphNode_st& node, const cudaMemsetParams& params);
cudaError_t set_host(CUgraphNode_st& node, const cudaHostNodeParams& params);
cudaError_t set_copy(CUgraphNode_st& node, const cudaMemcpy3DParms& params);
cudaError_t set_event(CUgraphNode_st& node, cudaEvent_t event);
cudaError_t set_child(CUgraphNode_st& node, cudaGraph_t child);
cudaError_t set_alloc(CUgraphNode_st& node, cudaMemAllocNodeParams& params);
cudaError_t set_free(CUgraphNode_st& node, void* pointer);
// The same from parameters of any kind; they must be the node's own.
cudaError_t set_params(CUgraphNode_st& node, cudaGraphNodeParams& params);

// A copy of consecutive bytes as the box that it is.
cudaMemcpy3DParms line(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t line_to_symbol(cudaMemcpy3DParms& line_out, const void* symbol, const void* from, size_t bytes,
                           size_t offset, cudaMemcpyKind kind);
cudaError_t line_from_symbol(cudaMemcpy3DParms& line_out, void* to, const void* symbol, size_t bytes, size_t offset,
                             cudaMemcpyKind kind);

}  // namespace tweedie::vgpu
