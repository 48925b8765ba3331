"""The generic session proxy, without input or output."""
