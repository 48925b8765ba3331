"""Established sessions carried by the kernel: a BPF program on the interfaces, its tables, and who fills them."""
