"""Many trials: scheduling, workers, executors, status."""
