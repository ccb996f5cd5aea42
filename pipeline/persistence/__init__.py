"""What lies on disk: run directories and who owns them, checkpoints that are verified, and what may go on from them."""
