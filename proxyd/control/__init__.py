"""Talking to a running proxy over its control socket: the messages, the client's side, and what people see of it."""
