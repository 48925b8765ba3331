"""Bytes as the network and the kernel write them: pure decoding and encoding."""
