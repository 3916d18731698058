"""What a random draw is for: the last part of its key, which keeps draws of one seed apart."""

from typing import Final

CORRUPTION: Final = 1
CLEAN: Final = 2  # of the clean x from what is stored
SPLIT: Final = 3  # of a set into training, validation and test
ORDER_OF_ROWS: Final = 4  # in an epoch
ORDER_OF_CHUNKS: Final = 5  # in an epoch
TOY: Final = 5  # never beside an order of chunks: a toy is not streamed
SPRITES: Final = 6
