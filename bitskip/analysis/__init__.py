"""From finished trials to effects: factorial cells, seed noise, effects, multiple testing."""
