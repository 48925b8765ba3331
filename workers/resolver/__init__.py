"""Names to addresses: the only part that asks a name server."""
