"""Each claim of the notes on autoencoders, as an experiment that can fail."""
