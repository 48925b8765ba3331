"""The command line of uftpproxyd, and what the process is made of before it serves."""
