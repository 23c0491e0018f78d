import math

import pytest

from neuronat.errors import UnusableInputError
from neuronat.measure.repeats import (
    MeasuredVolume,
    parse_volumes,
    variation_per_structure,
    variation_table,
    volumes_rows,
)


def row(head, change, number, volume, structure="Pallidum", model="m"):
    return MeasuredVolume(model, head, change, f"{head}{change}{number}", "tissue", structure, volume)


TWO_HEADS = [
    row("a", "", 0, 100.0), row("a", "noise", 1, 110.0), row("a", "noise", 2, 105.0), row("a", "turn", 1, 500.0),
    row("b", "", 0, 10.0), row("b", "noise", 1, 9.0), row("b", "noise", 2, math.nan),
]  # fmt: skip


def test_changes_and_coefficients_of_variation_are_means_over_heads():
    (found,) = variation_per_structure(TWO_HEADS, "noise")
    assert found.change_percent == pytest.approx((7.5 + 10) / 2)
    assert found.shift_percent == pytest.approx((7.5 - 10) / 2)
    # a: 100, 110, 105 deviate by 5 from 105; b: 10 and 9 deviate by sqrt(1 / 2) from 9.5
    assert found.cv_percent == pytest.approx((100 * 5 / 105 + 100 * math.sqrt(0.5) / 9.5) / 2)


@pytest.mark.parametrize("first", [math.nan, 0.0])
def test_without_a_first_volume_nothing_is_known(first):
    rows = [row("a", "", 0, first), row("a", "noise", 1, 3.0), row("b", "noise", 1, 4.0)]
    (found,) = variation_per_structure(rows, "noise")
    assert all(map(math.isnan, (found.change_percent, found.shift_percent, found.cv_percent)))


def test_the_table_names_the_least_steady_structure_of_each_model():
    rows = [
        *(row("a", c, n, v) for c, n, v in (("", 0, 100.0), ("noise", 1, 101.0))),
        *(row("a", c, n, v, "Amygdala") for c, n, v in (("", 0, 10.0), ("noise", 1, 9.0))),
        *(row("a", c, n, v, "Accumbens") for c, n, v in (("", 0, math.nan), ("noise", 1, 9.0))),
        *(row("a", c, n, 7.0, model="steady") for c, n in (("", 0), ("noise", 1))),
    ]
    lines = variation_table(rows, "tissue").splitlines()
    # Pallidum +1 %, 0.7036 %; Amygdala -10 %, 7.4432 %; the third is not known in the first scan
    assert lines[2:] == [
        "| noise | m | 5.50 % | -4.50 % | 4.07 % | Amygdala, 7.4 % |",
        "| noise | steady | 0.00 % | +0.00 % | 0.00 % | Pallidum, 0.0 % |",
    ]
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert variation_table(rows, "hmrf") == ""


def test_volumes_come_back_from_their_table_the_last_of_each():
    rows = [row("a", "", 0, 100.0), row("a", "noise", 1, 2.5), row("a", "", 0, 50.25)]
    assert parse_volumes(volumes_rows(rows)) == (rows[2], rows[1])
    (unknown,) = parse_volumes(volumes_rows([row("a", "", 0, math.nan)]))
    assert math.isnan(unknown.volume_mm3)


def test_a_broken_table_names_its_line():
    with pytest.raises(UnusableInputError, match="line 2 cannot be read"):
        parse_volumes(volumes_rows([row("a", "", 0, 100.0)]).replace("100", "many"))
    with pytest.raises(UnusableInputError, match="has no column volume_mm3"):
        parse_volumes("model\thead\tchange\tscan\tprotocol\tstructure\n")
