"""The commands: argv to calls, no logic."""
