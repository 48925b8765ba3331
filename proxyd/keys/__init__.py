"""Key files: what uftp-keymgt makes and shows, and what uftpproxyd reads."""
