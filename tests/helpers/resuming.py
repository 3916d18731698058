"""The short eventful run that tests of resuming stop, kill and go on with."""

from soak import eventful

SIZES = {"epochs": 2, "size": 384}  # 8 batches an epoch: 3 steps, and a validation every 2 batches
ON = ["fit", "--run", "run", "--resume", *eventful.TRUST]
