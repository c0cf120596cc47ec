CREATE ROLE "Käufer" LOGIN PASSWORD 'x''y"z';
CREATE ROLE group_of NOLOGIN;
CREATE ROLE owner_of NOLOGIN;
GRANT group_of TO "Käufer" WITH ADMIN OPTION;
ALTER ROLE "Käufer" SET search_path TO shop, "$user", 'with space';
ALTER ROLE "Käufer" SET work_mem TO '8MB';
CREATE SCHEMA shop AUTHORIZATION owner_of;
CREATE SCHEMA "Sch.e""ma";
CREATE SCHEMA "中文";
COMMENT ON SCHEMA shop IS 'it''s \ a "shop"';
CREATE TYPE shop.mood AS ENUM ('sad', 'it''s ok', '高兴');
CREATE TYPE shop.pair AS (a integer, b text COLLATE "C");
CREATE DOMAIN shop.positive AS integer DEFAULT 1 CONSTRAINT is_positive CHECK (VALUE > 0);
CREATE DOMAIN shop.code AS text NOT NULL;
ALTER DOMAIN shop.code ADD CONSTRAINT short CHECK (length(VALUE) < 1000) NOT VALID;
COMMENT ON CONSTRAINT is_positive ON DOMAIN shop.positive IS 'at least one';
CREATE FUNCTION shop.difference_of(a float8, b float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT a - b';
CREATE TYPE shop.floats AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = shop.difference_of);
CREATE TYPE shop.texts AS RANGE (SUBTYPE = text, COLLATION = "C");
CREATE COLLATION shop.plain (provider = libc, locale = 'C');
CREATE SEQUENCE shop.numbers AS smallint START 5 INCREMENT -2 MINVALUE -100 MAXVALUE 10 CACHE 3 CYCLE;
CREATE SEQUENCE shop.lonely;
CREATE FUNCTION shop.next_code(prefix text DEFAULT 'c') RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN RETURN prefix || nextval('shop.lonely'); END $$;
CREATE FUNCTION shop.add(a integer, b integer) RETURNS integer LANGUAGE sql IMMUTABLE RETURN a + b;
CREATE TABLE shop.customers (
  id bigint GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5) PRIMARY KEY,
  name text COLLATE shop.plain NOT NULL,
  feels shop.mood DEFAULT 'sad',
  "both" shop.pair,
  amount shop.positive,
  moods shop.mood[],
  span shop.floats,
  spans shop.floats_multirange,
  code text DEFAULT shop.next_code() UNIQUE,
  doubled integer GENERATED ALWAYS AS (shop.add("Quo""ted col.umn", 7)) STORED,
  "Quo""ted col.umn" integer CHECK ("Quo""ted col.umn" <> 3),
  big text,
  CONSTRAINT nothing_bad CHECK (name <> 'bad') NO INHERIT
);
ALTER TABLE shop.customers ALTER big SET STORAGE EXTERNAL, ALTER big SET STATISTICS 50, ALTER name SET (n_distinct = -0.5);
ALTER TABLE shop.customers ADD CONSTRAINT late CHECK (big <> 'x') NOT VALID;
COMMENT ON TABLE shop.customers IS 'who buys';
COMMENT ON COLUMN shop.customers."Quo""ted col.umn" IS 'odd';
CREATE TABLE shop.orders (
  id serial PRIMARY KEY,
  customer bigint NOT NULL REFERENCES shop.customers ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  parent integer REFERENCES shop.orders,
  at timestamptz DEFAULT now(),
  payload jsonb DEFAULT '{}',
  low smallserial,
  during tstzrange,
  EXCLUDE USING gist (during WITH &&) WHERE (low > 5),
  UNIQUE (customer, at) DEFERRABLE
) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
CREATE INDEX orders_at ON shop.orders (at DESC NULLS LAST) INCLUDE (payload) WHERE customer > 10;
CREATE INDEX orders_expression ON shop.orders ((payload ->> 'a'), shop.add(id, 1));
ALTER INDEX shop.orders_expression ALTER COLUMN 2 SET STATISTICS 77;
CREATE INDEX orders_payload ON shop.orders USING gin (payload jsonb_path_ops) WITH (fastupdate = off);
CREATE UNIQUE INDEX orders_identity ON shop.orders (customer, id);
ALTER TABLE shop.orders ALTER customer SET NOT NULL;
ALTER TABLE shop.orders REPLICA IDENTITY USING INDEX orders_identity;
ALTER TABLE shop.orders CLUSTER ON orders_identity;
ALTER TABLE shop.customers REPLICA IDENTITY FULL;
CREATE STATISTICS shop.dependent (dependencies, ndistinct) ON customer, at FROM shop.orders;
CREATE UNLOGGED TABLE shop.scratch (a integer);
CREATE TABLE shop.empty ();
CREATE TABLE shop.typed OF shop.pair (a WITH OPTIONS NOT NULL DEFAULT 4);
CREATE TABLE "Sch.e""ma"."Ta.b""le" ("Id" integer PRIMARY KEY, "select" text, ref integer REFERENCES shop.orders (id));
CREATE INDEX "In.d""ex" ON "Sch.e""ma"."Ta.b""le" ("select");
CREATE TABLE "中文"."表" ("列" text PRIMARY KEY, "另" shop.mood[]);
CREATE TABLE shop.measured (at date NOT NULL, region text NOT NULL, n integer DEFAULT 3 CHECK (n > 0), PRIMARY KEY (at, region))
  PARTITION BY RANGE (at);
CREATE TABLE shop.measured_2024 PARTITION OF shop.measured FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (region);
CREATE TABLE "中文".measured_2024_eu PARTITION OF shop.measured_2024 FOR VALUES IN ('eu', 'x''y');
CREATE TABLE shop.measured_2024_rest PARTITION OF shop.measured_2024 (CHECK (n < 1000)) DEFAULT;
CREATE TABLE shop.measured_old (region text NOT NULL, at date NOT NULL, n integer, CHECK (n > 0), CONSTRAINT measured_n_check CHECK (n > 0));
ALTER TABLE shop.measured ATTACH PARTITION shop.measured_old DEFAULT;
CREATE INDEX measured_n ON shop.measured (n);
CREATE TABLE shop.hashed (a integer) PARTITION BY HASH (a);
CREATE TABLE shop.hashed_0 PARTITION OF shop.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.refers (at date, region text, FOREIGN KEY (at, region) REFERENCES shop.measured);
CREATE TABLE shop.animals (id integer PRIMARY KEY, name text DEFAULT 'x', CONSTRAINT named CHECK (name <> ''));
CREATE TABLE shop.birds (wings integer) INHERITS (shop.animals);
CREATE TABLE shop.fish (fins integer, id integer, name text);
ALTER TABLE shop.fish ADD CONSTRAINT named CHECK (name <> '');
ALTER TABLE shop.fish ALTER id SET NOT NULL;
ALTER TABLE shop.fish INHERIT shop.animals;
CREATE VIEW shop.rich WITH (security_barrier) AS SELECT customers.id, customers.name FROM shop.customers WHERE customers.amount > 5 WITH LOCAL CHECK OPTION;
CREATE VIEW shop.grouped AS SELECT c.id, c.name, count(*) AS n FROM shop.customers c JOIN shop.orders ON orders.customer = c.id GROUP BY c.id;
ALTER VIEW shop.rich ALTER COLUMN name SET DEFAULT 'nobody';
CREATE MATERIALIZED VIEW shop.summary AS SELECT grouped.id, grouped.n FROM shop.grouped;
CREATE UNIQUE INDEX summary_id ON shop.summary (id);
CREATE MATERIALIZED VIEW shop.unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE VIEW "Sch.e""ma"."Vi.ew" ("A b") AS WITH x AS (SELECT "Ta.b""le"."Id" FROM "Sch.e""ma"."Ta.b""le") SELECT x."Id" FROM x;
CREATE VIEW shop.joined AS SELECT orders.id, customers.name, (SELECT count(*) FROM shop.animals) AS n
  FROM (shop.orders LEFT JOIN shop.customers ON customers.id = orders.customer), shop.animals TABLESAMPLE system (10);
CREATE FUNCTION shop.of_view(v shop.rich) RETURNS text LANGUAGE sql AS 'SELECT v.name';
CREATE RULE keep AS ON DELETE TO shop.scratch DO INSTEAD UPDATE shop.scratch SET a = 0 WHERE scratch.a = old.a;
CREATE RULE also AS ON INSERT TO shop.scratch WHERE new.a > 3 DO ALSO INSERT INTO shop.empty DEFAULT VALUES;
ALTER TABLE shop.scratch DISABLE RULE also;
CREATE FUNCTION shop.watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE TRIGGER watching BEFORE UPDATE OF name ON shop.customers FOR EACH ROW WHEN (old.name IS DISTINCT FROM new.name) EXECUTE FUNCTION shop.watch('a''b');
CREATE TRIGGER always AFTER INSERT ON shop.customers REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION shop.watch();
CREATE CONSTRAINT TRIGGER checking AFTER INSERT ON shop.orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.watch();
CREATE TRIGGER of_parts AFTER INSERT ON shop.measured FOR EACH ROW EXECUTE FUNCTION shop.watch();
ALTER TABLE shop.customers ENABLE ALWAYS TRIGGER always;
ALTER TABLE shop.customers DISABLE TRIGGER watching;
CREATE POLICY own ON shop.orders AS RESTRICTIVE FOR UPDATE TO "Käufer", group_of USING (EXISTS (SELECT 1 FROM shop.customers c WHERE c.id = orders.customer)) WITH CHECK (low > 0);
CREATE POLICY everybody ON shop.orders USING (true);
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE FUNCTION shop.atomic(x integer) RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM shop.orders WHERE orders.id > x; END;
CREATE FUNCTION shop.setting() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = shop, pg_temp SET work_mem = '1MB' AS $_$ BEGIN PERFORM $$x$$; END $_$;
CREATE PROCEDURE shop.proceed(INOUT a integer) LANGUAGE plpgsql AS 'BEGIN a := 1; END';
CREATE AGGREGATE shop.product(integer) (SFUNC = int4mul, STYPE = integer, INITCOND = '1', PARALLEL = safe);
CREATE AGGREGATE shop.hypothetical(float8 ORDER BY "any") (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE FUNCTION shop.same(shop.pair, shop.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a = ($2).a';
CREATE OPERATOR shop.=== (FUNCTION = shop.same, LEFTARG = shop.pair, RIGHTARG = shop.pair, COMMUTATOR = OPERATOR(shop.===), RESTRICT = eqsel, HASHES);
CREATE FUNCTION shop.to_text(shop.pair) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ($1).b';
CREATE CAST (shop.pair AS text) WITH FUNCTION shop.to_text(shop.pair) AS ASSIGNMENT;
CREATE TEXT SEARCH DICTIONARY shop.simple_words (TEMPLATE = pg_catalog.simple, Accept = false);
CREATE TEXT SEARCH CONFIGURATION shop.english (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION shop.english ALTER MAPPING FOR word WITH shop.simple_words, english_stem;
CREATE FUNCTION shop.compare(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE OPERATOR CLASS shop.int_ops FOR TYPE integer USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 shop.compare(integer, integer);
CREATE INDEX odd_class ON shop.refers (length(region) shop.int_ops);
CREATE FOREIGN DATA WRAPPER nothing OPTIONS (debug 'true');
CREATE SERVER "Far away" TYPE 't' VERSION '1' FOREIGN DATA WRAPPER nothing OPTIONS (host 'it''s');
CREATE USER MAPPING FOR "Käufer" SERVER "Far away" OPTIONS (user 'me', password 'secret');
CREATE FOREIGN TABLE shop.distant (a integer OPTIONS (c 'd') NOT NULL, b text) SERVER "Far away" OPTIONS (x 'y');
CREATE FUNCTION shop.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER seeing ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION shop.on_ddl();
GRANT USAGE ON SCHEMA shop TO "Käufer";
GRANT SELECT, INSERT ON shop.orders TO "Käufer" WITH GRANT OPTION;
GRANT SELECT (id, name), UPDATE (name) ON shop.customers TO PUBLIC;
GRANT USAGE ON SEQUENCE shop.lonely TO group_of;
REVOKE ALL ON FUNCTION shop.next_code FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.next_code TO group_of;
GRANT USAGE ON TYPE shop.mood TO group_of;
REVOKE ALL ON TYPE shop.positive FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE shop.proceed TO group_of;
REVOKE ALL ON shop.scratch FROM postgres;
ALTER TABLE shop.orders OWNER TO owner_of;
ALTER FUNCTION shop.watch() OWNER TO owner_of;
ALTER TYPE shop.mood OWNER TO owner_of;
ALTER DEFAULT PRIVILEGES FOR ROLE owner_of IN SCHEMA shop GRANT SELECT ON TABLES TO "Käufer";
ALTER DEFAULT PRIVILEGES FOR ROLE owner_of REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
COMMENT ON INDEX shop.orders_at IS 'index';
COMMENT ON CONSTRAINT nothing_bad ON shop.customers IS 'check';
COMMENT ON TRIGGER watching ON shop.customers IS 'trigger';
COMMENT ON RULE keep ON shop.scratch IS 'rule';
COMMENT ON POLICY own ON shop.orders IS 'policy';
COMMENT ON FUNCTION shop.next_code(text) IS 'function';
COMMENT ON PROCEDURE shop.proceed(integer) IS 'procedure';
COMMENT ON AGGREGATE shop.product(integer) IS 'aggregate';
COMMENT ON OPERATOR shop.=== (shop.pair, shop.pair) IS 'operator';
COMMENT ON TYPE shop.mood IS 'type';
COMMENT ON COLUMN shop.pair.a IS 'attribute';
COMMENT ON CAST (shop.pair AS text) IS 'cast';
COMMENT ON VIEW shop.rich IS 'view';
COMMENT ON MATERIALIZED VIEW shop.summary IS 'filled';
COMMENT ON SEQUENCE shop.numbers IS 'sequence';
COMMENT ON STATISTICS shop.dependent IS 'statistics';
COMMENT ON TEXT SEARCH CONFIGURATION shop.english IS 'words';
COMMENT ON OPERATOR CLASS shop.int_ops USING btree IS 'class';
COMMENT ON SERVER "Far away" IS 'server';
COMMENT ON EVENT TRIGGER seeing IS 'event';
COMMENT ON EXTENSION plpgsql IS 'language';
INSERT INTO shop.customers (name) SELECT 'n' || i FROM generate_series(1, 5) i;
INSERT INTO shop.animals VALUES (1);
REFRESH MATERIALIZED VIEW shop.summary;
SELECT nextval('shop.numbers'), nextval('shop.numbers'), nextval('shop.lonely');
