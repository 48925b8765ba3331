"""`scripts/bench uftp`: a file through two UFTP proxies of either make, and what that costs each of them."""
