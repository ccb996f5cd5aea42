"""The reports of a run: progress on a terminal, metrics.jsonl, TensorBoard."""
