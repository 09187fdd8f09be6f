"""Ladders: how effects, and the loss, go on with parameters and training tokens (docs/scaling.md)."""
