"""The places of extents: as an array of all of them has them, whatever is put where."""

import random
import tracemalloc

from sterna.engines.sqlserver.wire.page import EXTENT_SIZE
from sterna.engines.sqlserver.wire.places import ABSENT, STRETCH, Places


def filled(chance: random.Random, most: int) -> tuple[Places, dict[int, int]]:
    """Runs that lie as they are numbered, holes, and a few that lie elsewhere, put a second time."""
    places, known = Places(), {}
    number = 0
    while number < most:
        start = chance.randrange(1 << 40)
        for step in range(chance.choice((1, 10, STRETCH, 2 * STRETCH + 7))):
            known[number + step] = places[number + step] = start + step * EXTENT_SIZE
        number += step + 1 + chance.choice((0, 0, 1, STRETCH, 3 * STRETCH))
    for again in chance.choices(sorted(known), k=20):
        known[again] = places[again] = chance.randrange(1 << 40)
    return places, known


def same(places: Places, known: dict[int, int]) -> bool:
    everything = [known.get(number, ABSENT) for number in range(max(known) + 1)]
    return (
        list(places) == everything
        and len(places) == len(everything)
        and places.count() == len(known)
        and [places[number] for number in range(len(everything))] == everything
    )


def test_places_are_those_that_were_put() -> None:
    for seed in range(4):
        places, known = filled(random.Random(seed), 8 * STRETCH)
        assert same(places, known)
        assert places[-1] == places[len(places)] == ABSENT
    assert list(Places()) == []


def test_places_of_a_differential_backup_lie_over_those_below_which_stay() -> None:
    for seed in range(4):
        chance = random.Random(seed)
        below, known = filled(chance, chance.choice((STRETCH, 9 * STRETCH)))
        above, newer = filled(chance, chance.choice((STRETCH, 9 * STRETCH)))
        shift = 1 << 48
        assert same(below.under(above, shift), known | {number: place + shift for number, place in newer.items()})
        assert same(below, known)
        assert same(above, newer)
    assert same(Places().under(above, 0), newer)


def test_extents_that_lie_as_they_are_numbered_take_no_memory() -> None:
    tracemalloc.start()
    places = Places()
    for number in range(100 * STRETCH):
        places[number] = 4096 + number * EXTENT_SIZE
    places[5000 * STRETCH] = 1
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 300_000
