"""What this machine and this Python have for a training, and the remedy for each thing that is wrong."""
