"""A trained model in use: predictions for images, a continuous evaluation, and exports to other formats."""
