from io import BytesIO

import numpy as np
from matplotlib.image import imread

from neuronat.report.png import encode_png


def test_another_reader_reads_the_same_pixels(rng):
    pixels = rng.integers(0, 256, (11, 17), np.uint8)
    read = imread(BytesIO(encode_png(pixels)), format="png")
    np.testing.assert_array_equal(np.rint(read * 255), pixels)


def test_nothing_but_pixels_is_in_the_file():
    content = encode_png(np.zeros((300, 200), np.uint8))
    assert [kind for kind in (b"IHDR", b"IDAT", b"IEND", b"tEXt", b"tIME") if kind in content] == [
        b"IHDR",
        b"IDAT",
        b"IEND",
    ]
    assert len(content) < 400


def test_colours_are_read_as_they_were(rng):
    pixels = rng.integers(0, 256, (9, 5, 3), np.uint8)
    read = imread(BytesIO(encode_png(pixels)), format="png")
    np.testing.assert_array_equal(np.rint(read * 255), pixels)
