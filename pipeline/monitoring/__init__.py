"""What a run shows of itself: progress on a terminal, metrics.jsonl, TensorBoard."""
