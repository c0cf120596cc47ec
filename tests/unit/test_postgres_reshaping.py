"""Which commands of the source can be repeated on the target."""

import json

import pytest

from sterna.core.errors import BadData
from sterna.core.plan import Endpoint, Picked, Plan, Selection
from sterna.engines.postgres.reshaping import repeated, shapeless

SERVER = Endpoint("postgresql", (("localhost", 5432),))


def plan(*objects: Picked) -> Plan:
    return Plan(SERVER, SERVER, selection=Selection(objects=objects))


def told(query: str, tag: str = "ALTER TABLE", **facts: object) -> str:
    table = {"type": "table", "schema": "public", "identity": "public.a", "table": ["public", "a"], "root": None}
    words = {"event": "ddl_command_end", "tag": tag, "objects": [table], "query": query, "search_path": "public"}
    return json.dumps(words | facts)


@pytest.mark.parametrize(
    "query",
    [
        "ALTER TABLE a ADD b int",
        "ALTER TABLE a ADD b int DEFAULT 5, ADD c text DEFAULT 'now(); --'",
        "ALTER TABLE a ALTER b TYPE bigint USING b::bigint",
        'ALTER TABLE a RENAME "DEFAULT now()" TO c',
        "ALTER TABLE a DROP b",
        "DROP TABLE a CASCADE",
        "COMMENT ON TABLE a IS $$; DROP$$",
    ],
)
def test_a_statement_that_does_the_same_everywhere_is_repeated(query: str) -> None:
    assert repeated(told(query), plan(), "db") == query
    assert repeated(told(f" -- why\n/* ; */ {query} ; "), plan(), "db") == query


@pytest.mark.parametrize(
    "query",
    [
        "ALTER TABLE a ADD b timestamptz DEFAULT now()",
        "ALTER TABLE a ADD b date DEFAULT CURRENT_DATE",
        "ALTER TABLE a ADD b serial",
        "ALTER TABLE a ADD b int GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE a ALTER b TYPE text USING my_function(b)",
        "ALTER TABLE a ADD b int; ALTER TABLE a ADD c int",
        "ALTER TABLE a DETACH PARTITION p CONCURRENTLY",
        "SELECT make_it()",
        "",
    ],
)
def test_a_statement_that_need_not_do_the_same_is_left_to_a_person(query: str) -> None:
    assert repeated(told(query), plan(), "db") == ""


def test_what_a_function_ran_or_nobody_described_is_left_to_a_person() -> None:
    query = "ALTER TABLE a ADD b int"
    assert repeated(told(query, context="PL/pgSQL function f()"), plan(), "db") == ""
    assert repeated(told(query, objects=[]), plan(), "db") == ""
    assert repeated(told(query, trouble="no right"), plan(), "db") == ""
    assert repeated(told("CREATE TABLE b AS SELECT 1", "CREATE TABLE AS"), plan(), "db") == ""


def test_an_index_is_made_within_the_transaction() -> None:
    query = "CREATE UNIQUE INDEX CONCURRENTLY i ON a (b)"
    assert repeated(told(query, "CREATE INDEX"), plan(), "db") == "CREATE UNIQUE INDEX i ON a (b)"


def test_only_what_has_its_own_name_and_all_its_columns_is_changed() -> None:
    query, path = "ALTER TABLE a ADD b int", ("db", "public", "a")
    assert repeated(told(query), plan(Picked(path)), "db") == query
    assert repeated(told(query), plan(Picked(("db", "public", "other"))), "db") == ""
    assert repeated(told(query), plan(Picked(path, ("there", "public", "a"))), "db") == query
    assert repeated(told(query), plan(Picked(path, ("db", "public", "z"))), "db") == ""
    assert repeated(told(query), plan(Picked(path, columns=("id",))), "db") == ""


def test_commands_that_change_no_shape_are_passed_over() -> None:
    assert shapeless(told("REINDEX TABLE a", "REINDEX"))
    assert not shapeless(told("ALTER TABLE a ADD b int"))


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_words_that_are_not_understood_are_bad_data(text: str) -> None:
    with pytest.raises(BadData):
        repeated(text, plan(), "db")
