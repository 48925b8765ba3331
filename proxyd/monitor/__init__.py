"""The monitor: a child that shows what stands in shared memory, over HTTP."""
