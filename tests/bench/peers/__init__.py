"""Training the same networks by other libraries, each as fast as it lets one.

A file a library, which needs that library and torch alone, and runs in an environment of its own:
`python -m bench.peers.NAME mlp|conv BATCH STEPS ROOT [plain]`. Adam is fused, unless `plain` asks
for it as the library sets it. Where a library takes any iterable of batches, it gets whole batches
of one tensor in memory.
"""
