from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuronat.space.series import Image, Series
from neuronat.space.slices import slice_faults

TURNED = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)  # sagittal: slices follow each other along -x


def series(places: list[tuple[float, float, float]], numbers: list[int | None] | None = None) -> Series:
    images = tuple(
        Image(
            path=Path(str(k)),
            uid=str(k),
            number=numbers[k] if numbers else k + 1,
            orientation=TURNED,
            positions=(place,),
        )
        for k, place in enumerate(places)
    )
    return Series(
        uid="1", number=1, images=images, modality="MR", kind=(), words="", contrast="T1", acquisition="3D",
        has_text=False, name_words=frozenset(),
    )  # fmt: skip


def along(*places_mm: float) -> list[tuple[float, float, float]]:
    return [(-x, 10.0, 20.0) for x in places_mm]


def test_even_slices_in_any_order_are_whole():
    assert slice_faults(series(along(0, 1.2, 2.4, 3.61, 4.8))) == ()
    assert slice_faults(series(along(3, 1, 0, 2))) == ()
    assert slice_faults(series(along(0, 0, 1, 1, 2, 2))) == ()  # two echoes


@pytest.mark.parametrize(
    ("places_mm", "words"),
    [
        ((0, 1, 2, 4, 5), "1 slices are missing (gaps of 2 mm, usual are 1)"),
        ((0, 1, 4, 5, 6, 8), "3 slices are missing (gaps of 3 mm, usual are 1)"),
        ((0, 1, 2, 3.4, 4.4), "slices are not evenly spaced (1 to 1.4 mm)"),
        ((0, 1), "2 images with a place are no volume"),
        ((5, 5, 5), "all images lie at one place"),
    ],
)
def test_missing_and_uneven_slices_are_named(places_mm: tuple[float, ...], words: str):
    assert slice_faults(series(along(*places_mm)))[0] == words


def test_a_tilt_is_named_in_degrees():
    shifted = [(-k, 10 + k * np.tan(np.radians(12)), 20.0) for k in range(5)]
    assert slice_faults(series(shifted)) == ("slices are shifted against each other (gantry tilt, 12.0 degrees)",)
    barely = [(-k, 10 + k * np.tan(np.radians(0.2)), 20.0) for k in range(5)]
    assert slice_faults(series(barely)) == ()


def test_images_in_several_directions_are_a_localizer():
    whole = series(along(0, 1, 2, 3))
    turned = replace(whole.images[2], orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    mixed = replace(whole, images=(*whole.images[:2], turned, whole.images[3]))
    assert slice_faults(mixed) == ("images lie in several directions, as those of a localizer do",)
    placeless = replace(whole, images=(replace(whole.images[0], orientation=()), *whole.images[1:]))
    assert slice_faults(placeless) == ("images do not say how they lie",)


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ([1, 2, 3, 5], "image 4 of 5 is missing"),
        ([2, 3, 4, 5], "image 1 of 5 is missing"),
        ([4, 2, 3, 1], None),
        ([101, 102, 103, 104], None),  # numbered through the session
        ([5, 6, 7, 8], None),  # where another series of as many images ended
        ([5, 6, 8, 9], "image 7 of 9 is missing"),
        ([1, 3, 5, 7], None),  # another series has the even ones
        ([None, None, None, None], None),
        ([1, 1, 1, 1], None),
    ],
)
def test_holes_in_the_numbers_are_missing_images(numbers: list[int | None], fault: str | None):
    assert slice_faults(series(along(0, 1, 2, 3), numbers)) == ((fault,) if fault else ())
