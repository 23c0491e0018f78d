import math

import pytest

from neuronat.errors import UnusableInputError
from neuronat.labels import load_scheme
from neuronat.measure.laboratory import (
    REFUSED,
    UNSCORED,
    LaboratoryRow,
    kinds_against_models,
    laboratory_row,
    parse_rows,
    rows_table,
)


def row(model, kind, scan, dice, worst="Pallidum", protocol="tissue"):
    return LaboratoryRow(model, kind, scan, protocol, dice, worst, dice / 2)


def test_what_neither_map_holds_and_what_the_challenge_left_out_do_not_count():
    found = {31: 0.5, 32: 0.75, 47: math.nan, 42: 0.0, 74: 0.0}
    reduced = laboratory_row(("m", "noisy", "s"), load_scheme("neuromorphometrics"), found)
    assert (reduced.mean_dice, reduced.worst, reduced.worst_dice) == (0.625, "Right Amygdala", 0.5)


def test_the_challenge_left_out_what_is_no_structure_of_a_brain():
    scheme = load_scheme("neuromorphometrics")
    names = scheme.name_of
    assert sorted(names[index] for index in UNSCORED["neuromorphometrics"]) == [
        *["5th Ventricle", "Left Cerebral Exterior", "Left Insula", "Left vessel"],
        *["Right Cerebral Exterior", "Right Insula", "Right vessel", "Vitamin E Tablet"],
    ]


def test_a_scan_without_any_structure_has_no_dice():
    reduced = laboratory_row(("m", "noisy", "s"), load_scheme("tissue"), {1: math.nan})
    assert math.isnan(reduced.mean_dice)
    assert reduced.worst == "no structure"


def test_rows_come_back_from_their_table_and_the_last_word_counts():
    rows = [row("a", "noisy", "1", 0.5), row("a", "noisy", "2", 0.25), row("a", "noisy", "1", 0.75)]
    assert parse_rows(rows_table(rows)) == (rows[2], rows[1])


def test_a_result_replaces_a_refusal_and_a_refusal_results():
    refused = LaboratoryRow("a", "thick", "1", REFUSED, math.nan, "not\ta\nbrain", math.nan)
    results = [row("a", "thick", "1", 0.5), row("a", "thick", "1", 0.25, protocol="hmrf")]
    assert parse_rows(rows_table([refused, *results])) == tuple(results)
    (left,) = parse_rows(rows_table([*results, refused]))
    assert (left.protocol, left.worst) == (REFUSED, "not a brain")


def test_a_broken_table_names_its_line():
    text = rows_table([row("a", "noisy", "1", 0.5)])
    with pytest.raises(UnusableInputError, match=r"line 2 cannot be read \(could not convert .*'half'"):
        parse_rows(text.replace("0.500000", "half"))
    with pytest.raises(UnusableInputError, match="has no column mean_dice, worst; give"):
        parse_rows("model\tkind\tscan\tprotocol\tworst_dice\n")


def test_kinds_stand_against_models_with_means_worst_structures_and_refusals():
    rows = [
        row("a", "plain", "1", 0.9),
        row("a", "noisy", "1", 0.5, "Amygdala"),
        row("a", "noisy", "2", 0.7, "Caudate"),
        row("a", "noisy", "3", 0.9, "Caudate"),
        row("b", "plain", "1", 0.8, ""),
        LaboratoryRow("b", "noisy", "1", REFUSED, math.nan, "why", math.nan),
        row("b", "noisy", "2", 0.2, protocol="hmrf"),
    ]
    assert kinds_against_models(rows, "tissue") == (
        "| tissue | a | b |\n"
        "| --- | --- | --- |\n"
        "| plain | 0.900, Pallidum | 0.800 |\n"
        "| noisy | 0.700, Caudate | (1 refused) |\n"
    )
    assert kinds_against_models(rows, "atropos") == ""
