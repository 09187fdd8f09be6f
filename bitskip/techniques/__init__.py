"""One file a technique: its axes, what it does to model and training, how it is labelled and costed."""
