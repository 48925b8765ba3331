"""The system calls that move datagrams, and the memory they fill."""
