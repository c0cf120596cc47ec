"""What was typed about databases, schemas and tables becomes a selection, or is refused in one clear line."""

import pytest

from sterna.cli.names import read_path, split_outside_quotes
from sterna.cli.objects import Wanted
from sterna.cli.plans import Chosen, Ddl, Manner, plan_of
from sterna.cli.state import folder_of
from sterna.cli.urls import read_url
from sterna.core.errors import Invalid
from sterna.core.plan import Picked, Plan, Selection, Tls
from sterna.store.memory import MemoryStore
from tests.contract.stores import PASSWORD
from tests.unit.test_cli import tools


def planned(source: str = "/shop", target: str = "", **wanted: list[str]) -> Plan:
    chosen = Chosen(objects=Wanted(**wanted))
    return plan_of(f"postgresql://a{source}", f"postgresql://b{target}", chosen, Manner(), {})


def selected(source: str = "/shop", target: str = "", **wanted: list[str]) -> Selection:
    return planned(source, target, **wanted).selection


# URLs.


@pytest.mark.parametrize("word", ["postgresql", "postgres", "POSTGRESQL"])
def test_a_url_of_postgresql_is_read_as_libpq_reads_it(word: str) -> None:
    location = read_url(f"{word}://us%3Aer:p%40s%2Fs%25@h/my%20d%C3%A4%2Fb", "source")
    endpoint = location.endpoint
    assert (endpoint.engine, endpoint.addresses) == ("postgresql", (("h", 5432),))
    assert (endpoint.user, endpoint.password, endpoint.tls) == ("us:er", "p@s/s%", None)
    assert (location.name, location.database, endpoint.database) == ("my dä/b", None, "my dä/b")


def test_a_url_need_not_name_a_database() -> None:
    for text in ("postgresql://[::1]:6000", "postgresql://[::1]:6000/"):
        location = read_url(text, "source", "env")
        assert (location.endpoint.addresses, location.endpoint.password) == ((("::1", 6000),), "env")
        assert (location.name, location.endpoint.database) == ("", "")


def test_the_database_may_be_an_option() -> None:
    assert read_url("postgresql://h?dbname=sh%26op", "source").name == "sh&op"
    assert read_url("postgresql://h/shop?dbname=shop", "source").name == "shop"


def test_nobody_logs_in_to_a_database_of_the_target_that_may_have_to_be_made() -> None:
    location = read_url("postgresql://h/shop", "target")
    assert (location.name, location.endpoint.database) == ("shop", "")


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", None),
        ("?sslmode=disable", None),
        ("?sslmode=prefer", None),
        ("?sslmode=require", Tls(verify=False)),
        ("?sslmode=require&sslrootcert=%2Fca.pem", Tls(True, "/ca.pem", host_name=False)),
        ("?sslmode=verify-ca&sslrootcert=ca.pem", Tls(True, "ca.pem", host_name=False)),
        ("?sslmode=verify-full&sslrootcert=ca.pem", Tls(True, "ca.pem")),
        ("?sslmode=verify-full", Tls()),
        ("?sslmode=verify-ca", Tls()),
        ("?sslmode=verify-full&sslrootcert=system", Tls()),
        ("?sslmode=verify-full&sslcert=c&sslkey=k", Tls(True, "", "c", "k")),
    ],
)
def test_tls_is_what_sslmode_says(query: str, tls: Tls | None) -> None:
    assert read_url(f"postgresql://h/shop{query}", "source").endpoint.tls == tls


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://",
        "postgresql://:s3cret",
        "postgresql://u:s3cret/x@h/db",
        "postgresql://u:p@h:0/db",
        "postgresql://a,b/db",
        "postgresql://h/s3cret/b",
        "postgresql://h/s3cret%zz",
        "postgresql://h/s3cret?dbname=other",
        "postgresql://h/db?s3cret=1",
        "postgresql://h/db?sslmode=s3cret",
        "postgresql://h/db?sslrootcert=s3cret",
        "postgresql://h/db?sslmode=disable&sslcert=s3cret",
        "postgresql://h/db?sslmode=require&sslkey=s3cret",
        "postgresql://h/db?ssl_ca_certs=s3cret",
        "redis://h?sslmode=s3cret",
    ],
)
def test_a_mistake_in_a_url_repeats_nothing_of_it(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_url(text, "source")
    assert refused.value.field == "source"
    assert "s3cret" not in refused.value.message + refused.value.hint


# Names.


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("t", ("t",)),
        ("public.Orders", ("public", "Orders")),
        ('"my.schema"."t"', ("my.schema", "t")),
        ('a."say ""hi"""', ("a", 'say "hi"')),
        ('"=".":,"', ("=", ":,")),
        ("表.列", ("表", "列")),
        ("with space.a$b", ("with space", "a$b")),
    ],
)
def test_a_name_counts_as_it_stands(text: str, path: tuple[str, ...]) -> None:
    assert read_path(text, "table") == path


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", '"', '""', '"a', 'a"', 'a"b', '"a"b', '"a"b"', 'a""']
)
def test_a_name_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_path(text, "table")


def test_marks_within_quotes_do_not_count() -> None:
    assert split_outside_quotes('a="b=c"=d', "=", 1) == ["a", '"b=c"=d']
    assert split_outside_quotes("abc", "=") == ["abc"]


# Selections.


def test_without_a_word_everything_is_taken() -> None:
    assert selected("") == Selection()
    assert selected("/shop") == Selection(objects=(Picked(("shop",)),))


def test_the_database_of_the_targets_url_is_what_the_sources_is_called_there() -> None:
    assert selected("/shop", "/shop").objects == (Picked(("shop",)),)
    assert selected("/shop", "/store").objects == (Picked(("shop",), ("store",)),)
    assert selected("", "/store", databases=["shop"]).objects == (Picked(("shop",), ("store",)),)


def test_several_databases_may_be_taken_and_renamed() -> None:
    assert selected("", databases=["a", 'b="x.y"']).objects == (Picked(("a",)), Picked(("b",), ("x.y",)))


def test_schemas_and_tables_are_in_the_one_database_that_is_taken() -> None:
    taken = selected(schemas=["app", "old=new"], tables=["public.t", "public.u=v", "shop.public.w=app2.w2"])
    assert taken.objects == (
        Picked(("shop", "app")),
        Picked(("shop", "old"), ("shop", "new")),
        Picked(("shop", "public", "t")),
        Picked(("shop", "public", "u"), ("shop", "public", "v")),
        Picked(("shop", "public", "w"), ("shop", "app2", "w2")),
    )


def test_new_names_of_what_holds_a_table_are_its_too() -> None:
    taken = selected("/shop", "/store", tables=["public.t", "public.u=v", "public.w=x.y"], renames=["public=app"])
    assert taken.objects == (
        Picked(("shop", "public", "t"), ("store", "app", "t")),
        Picked(("shop", "public", "u"), ("store", "app", "v")),
        Picked(("shop", "public", "w"), ("store", "x", "y")),
    )
    assert (place := taken.place(("shop", "public", "t")))
    assert place.to == ("store", "app", "t")


def test_a_schema_or_table_may_be_renamed_while_everything_is_taken() -> None:
    taken = selected(renames=["public=app", "public.t=u"])
    assert taken.objects == (
        Picked(("shop",)),
        Picked(("shop", "public"), ("shop", "app")),
        Picked(("shop", "public", "t"), ("shop", "app", "u")),
    )
    places = [taken.place(("shop", *path)) for path in (("public", "t"), ("public", "x"), ("other", "x"))]
    assert [place.to if place else None for place in places] == [
        ("shop", "app", "u"),
        ("shop", "app", "x"),
        ("shop", "other", "x"),
    ]


def test_columns_and_rows_of_a_table_are_chosen_while_everything_is_taken() -> None:
    taken = selected(columns=['public.t:id, "a,b"'], conditions=["public.t:at > '10:30' or x = 'a.b'"])
    table = Picked(("shop", "public", "t"), (), ("id", "a,b"), "at > '10:30' or x = 'a.b'")
    assert taken.objects == (Picked(("shop",)), table)


def test_columns_of_a_table_that_is_taken_alone_take_nothing_else() -> None:
    taken = selected(tables=["public.t=u"], columns=["public.t:id"])
    assert taken.objects == (Picked(("shop", "public", "t"), ("shop", "public", "u"), ("id",)),)


def test_what_is_excluded_is_left_out_of_what_is_taken() -> None:
    taken = selected(excludes=["audit", "public.log"])
    assert taken.without == (("shop", "audit"), ("shop", "public", "log"))
    assert taken.place(("shop", "audit", "x")) is None
    assert selected("", excludes=["template", "a.b"]).without == (("template",), ("a", "b"))


def test_of_several_databases_paths_name_theirs() -> None:
    taken = selected("", databases=["a", "b=c"], tables=["a.public.t=u"], renames=["b.public=app"])
    assert taken.objects == (
        Picked(("b",), ("c",)),
        Picked(("a", "public", "t"), ("a", "public", "u")),
        Picked(("b", "public"), ("c", "app")),
    )


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        ("", "/store", {}),
        ("", "/store", {"databases": ["a", "b"]}),
        ("/shop", "", {"databases": ["other"]}),
        ("/shop", "/x", {"databases": ["shop=y"]}),
        ("/shop", "", {"databases": ["a.b"]}),
        ("/shop", "", {"tables": ["t"]}),
        ("/shop", "", {"tables": ["a.b.c.d"]}),
        ("/shop", "", {"tables": ["other.public.t"]}),
        ("", "", {"tables": ["public.t"]}),
        ("", "", {"databases": ["a", "b"], "tables": ["c.public.t"]}),
        ("/shop", "", {"schemas": ["a.b"]}),
        ("/shop", "", {"tables": ["public.t=a.b.c"]}),
        ("/shop", "", {"tables": ["public.t=u", "public.t=v"]}),
        ("/shop", "", {"tables": ["public.t=x", "public.u=x"]}),
        ("/shop", "", {"tables": ["shop.public.t=store.public.t"]}),
        ("/shop", "", {"renames": ["public"]}),
        ("", "", {"renames": ["shop=store"]}),
        ("/shop", "", {"schemas": ["a"], "renames": ["b=c"]}),
        ("/shop", "", {"tables": ["a.t"], "columns": ["a.u:id"]}),
        ("/shop", "", {"columns": ["a.t"]}),
        ("/shop", "", {"columns": ["a.t:"]}),
        ("/shop", "", {"columns": ["a.t:x,,y"]}),
        ("/shop", "", {"columns": ["a.t:x,x"]}),
        ("/shop", "", {"conditions": ["a.t: "]}),
        ("/shop", "", {"conditions": ["id > 3"]}),
        ("/shop", "", {"excludes": [""]}),
    ],
)
def test_what_cannot_be_meant_is_refused(source: str, target: str, wanted: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid) as refused:
        planned(source, target, **wanted)
    assert refused.value.message


# The other options.


@pytest.mark.parametrize(
    ("chosen", "manner"),
    [
        (Chosen(source_database=0), Manner()),
        (Chosen(target_database=0), Manner()),
        (Chosen(include=["a"]), Manner()),
        (Chosen(exclude=["a"]), Manner()),
        (Chosen(), Manner(replay_flush=True)),
    ],
)
def test_options_of_redis_are_refused_for_postgresql(chosen: Chosen, manner: Manner) -> None:
    with pytest.raises(Invalid, match="Redis"):
        plan_of("postgresql://a", "postgresql://b", chosen, manner, {})


@pytest.mark.parametrize(
    ("chosen", "manner"),
    [
        *((Chosen(objects=Wanted(**{name: ["a"]})), Manner()) for name in Wanted.__dataclass_fields__),
        (Chosen(), Manner(ddl=Ddl.STOP)),
        (Chosen(), Manner(slot_limit_mb=0)),
        (Chosen(), Manner(sequence_margin=0)),
    ],
)
def test_options_of_postgresql_are_refused_for_redis(chosen: Chosen, manner: Manner) -> None:
    with pytest.raises(Invalid, match="PostgreSQL"):
        plan_of("redis://a", "redis://b", chosen, manner, {})


def test_options_reach_the_engine_by_the_names_that_it_reads() -> None:
    manner = Manner(ddl=Ddl.APPLY, slot_limit_mb=0, sequence_margin=5)
    plan = plan_of("postgresql://a", "postgresql://b", Chosen(), manner, {})
    assert plan.options == {"ddl": "apply", "slot_limit_mb": "0", "sequence_margin": "5"}
    assert plan_of("postgresql://a", "postgresql://b", Chosen(), Manner(), {}).options == {}


def test_each_pair_of_databases_has_a_state_folder_of_its_own() -> None:
    plans = [
        planned("/a"),
        planned("/b"),
        planned("/a", "/b"),
        planned(""),
        plan_of("redis://a", "redis://b", Chosen(), Manner(), {}),
    ]
    assert len({folder_of(plan, tools(MemoryStore())) for plan in plans}) == len(plans)
    with_password = plan_of(f"postgresql://x:{PASSWORD}@a/a", "postgresql://b", Chosen(), Manner(), {})
    without = plan_of("postgresql://x@a/a", "postgresql://b", Chosen(), Manner(), {})
    assert folder_of(with_password, tools(MemoryStore())) == folder_of(without, tools(MemoryStore()))
