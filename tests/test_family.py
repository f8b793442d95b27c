"""The family's table and tree are what the lessons printed, and say so where a lesson prints it no more."""

from dataclasses import replace

import pytest
from tool import tool

from minidiff import judge


@pytest.fixture
def family():
    return tool("family")


def test_readme_and_tree_are_what_the_command_would_write(family):
    stale = [path.name for path, text in family.pages() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python tools/family.py"


def test_a_figure_is_at_a_laptops_pace_and_has_its_interval(family):
    """As lesson 08 recorded: 16.7 minutes, where the U-Net took 525 ms, and 94 % of 64."""
    row = next(row for row in family.ROWS if row.system == "Latent diffusion")
    about = family.lesson("08")[1].metadata.minidiff
    minutes, where, line = family.look_up(row, row.train)
    assert where == "lesson 08, cell-40" and f" {minutes} min of training" in line
    assert family.seconds(row, row.train, 60, "") == family.two_digits(60 * minutes * 150 / about.call_ms)
    share, n = (int(family.total(row, figure)) for figure in (row.right.share, row.right.n))
    low, high = judge.interval(round(share * n / 100) / n, n)
    assert family.right(row) == f"object and place {share} % ({100 * low:.0f} to {100 * high:.0f}) of {n}"


def test_a_system_whose_lesson_is_not_there_has_no_row_and_no_link(family, monkeypatch):
    there = family.lesson
    monkeypatch.setattr(family, "lesson", lambda number: None if number == "16" else there(number))
    text, tree = "\n".join(family.table()), family.tree(family.SYSTEMS, family.address)
    assert "DALL-E 3" in text and "DALL-E 2" not in text and "16_dalle" not in text + tree
    assert ">DALL-E 2<" in tree and tree.count("<rect class") == len(family.SYSTEMS) + 3  # of the key


@pytest.mark.parametrize("pattern", ["^no such line (.*)", "(object)"])
def test_a_pattern_that_finds_nothing_or_two_things_is_named(family, monkeypatch, pattern):
    row = next(row for row in family.ROWS if row.system == "Latent diffusion")
    lost = replace(row, size=family.Found("cell-48", pattern))
    monkeypatch.setattr(family, "ROWS", [lost])
    with pytest.raises(SystemExit, match="Latent diffusion: . times, not once, in lesson 08, cell-48: "):
        family.table()


def test_every_system_has_a_box_in_its_year_and_no_arrow_goes_back(family):
    import family_tree

    assert set(family_tree.BOXES) == set(family.SYSTEMS)
    assert len(set(family_tree.BOXES.values())) == len(family.SYSTEMS), "two in one place"
    for name, (row, _) in family_tree.BOXES.items():
        (year,) = [year for year, (first, last) in family_tree.YEARS.items() if first <= row <= last]
        assert year == family.SYSTEMS[name].year or name == "LoRA", name  # which came to pictures a year later
    for first, second, *_ in family_tree.ARROWS:
        assert family_tree.BOXES[first][0] <= family_tree.BOXES[second][0], (first, second)
    assert {row.system for row in family.ROWS} <= set(family.SYSTEMS)
