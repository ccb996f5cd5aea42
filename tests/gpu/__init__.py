"""What the pipeline promises, tried on a GPU by real command lines, without pytest."""
