"""The UFTP proxy's engine, sans-I/O: the wire format of protocol 4.x, its cryptography, groups and roles."""
