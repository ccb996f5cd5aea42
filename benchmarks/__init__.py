"""Speed and memory beside peers: on one machine, in one run, on the same model, batch and data."""
