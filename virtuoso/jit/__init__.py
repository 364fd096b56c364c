"""How kernels are compiled, and the cache of what was compiled."""
