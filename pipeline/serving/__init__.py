"""A trained model in use: images in, verdicts out, and its way to and from other formats."""
