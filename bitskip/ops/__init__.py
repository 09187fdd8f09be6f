"""Arithmetic in plain torch that knows no trial and no technique: quantizers, transforms, losses, random streams."""
