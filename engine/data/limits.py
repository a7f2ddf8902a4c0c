"""Bounds on what an upload may hold, and on what is held in memory at a time."""

ROWS = 100_000_000
COLUMNS = 4096
CLASSES = 100_000
NAME = 200  # letters in the name of a column or a class
PARTS = 2_000_000
TEXT_BYTES = 1 << 20
SAMPLE_BYTES = 256 << 20
PICTURE_PIXELS = 1 << 26
SOUND_SECONDS = 600
SOUND_RATE = 192_000
SOUND_CHANNELS = 8
TOTAL_BYTES = 1 << 40
RATIO = 200  # of the rows to the upload, once they are larger than RATIO_FROM
RATIO_FROM = 256 << 20
JSON_DEPTH = 32
LINE_BYTES = 64 << 20

BATCH_ROWS = 1024
BATCH_BYTES = 16 << 20
