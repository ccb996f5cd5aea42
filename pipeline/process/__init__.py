"""This process: its environment, its signals, its children, and how it ends."""
