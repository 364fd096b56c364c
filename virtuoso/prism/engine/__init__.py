"""How a prism is computed: anchored blocks, the graph of nodes, aggregation, caches."""
