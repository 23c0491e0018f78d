import re
import shlex

import pytest

from neuronat.labels.luts import freeview_lut, fsleyes_lut, itksnap_labels, lut_files
from neuronat.labels.scheme import LabelScheme, load_scheme

SMALL = LabelScheme("small", (0, 1002, 7), ("none", "Left A b", "B"), ("#000000", "#ff8000", "#0033ff"), (0, 1002, 7))


def test_small_tables_are_written_by_hand_here():
    assert freeview_lut(SMALL).splitlines()[1:] == [
        f"0    none{' ' * 36}   0   0   0   0",
        f"7    B{' ' * 39}   0  51 255   0",
        f"1002 Left-A-b{' ' * 32} 255 128   0   0",
    ]
    assert itksnap_labels(SMALL).splitlines()[1:] == [
        '    0   0   0   0 0 0 0 "Clear Label"',
        '    7   0  51 255 1 1 1 "B"',
        ' 1002 255 128   0 1 1 1 "Left A b"',
    ]
    assert fsleyes_lut(SMALL) == "7 0.00000 0.20000 1.00000 B\n1002 1.00000 0.50196 0.00000 Left A b\n"


@pytest.mark.parametrize("name", ["deepnat25", "neuromorphometrics", "freesurfer"])
def test_readers_find_every_structure_with_its_colour(name):
    scheme = load_scheme(name)
    wanted = {
        index: (tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5)), text)
        for index, text, colour in zip(scheme.ids, scheme.names, scheme.colours, strict=True)
    }
    files = lut_files(scheme)
    freeview, itksnap, fsleyes = files.values()
    read = {}
    for line in freeview.splitlines():
        if not line.startswith("#"):
            index, text, red, green, blue, alpha = line.split()
            read[int(index)] = ((int(red), int(green), int(blue)), text)
            assert alpha == "0"
    assert read == {index: (colour, "-".join(text.split())) for index, (colour, text) in wanted.items()}
    read = {}
    for line in itksnap.splitlines():
        if not line.startswith("#"):
            index, red, green, blue, alpha, *_, text = shlex.split(line)
            read[int(index)] = ((int(red), int(green), int(blue)), text)
            assert float(alpha) == (int(index) != 0)
    assert read.pop(0) == ((0, 0, 0), "Clear Label")
    assert read == {index: row for index, row in wanted.items() if index}
    read = {}
    for line in fsleyes.splitlines():
        index, red, green, blue, text = re.match(r"(\d+) (\S+) (\S+) (\S+) (.+)", line).groups()
        read[int(index)] = (tuple(round(255 * float(part)) for part in (red, green, blue)), text)
    assert read == {index: row for index, row in wanted.items() if index}
