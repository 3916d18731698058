"""What a trained model is measured by, a group of figures in each module."""
