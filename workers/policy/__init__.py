"""Pure decisions: who may talk to whom, and for how long."""
