-- current --
SELECT space FROM lookalike_index

-- lock_index --
-- Whoever adds, switches or drops waits here for the other.
SELECT space FROM lookalike_index FOR UPDATE

-- set_patience --
-- For this transaction only: what waits for a lock on a table makes everybody wait who comes after it.
SELECT set_config('lock_timeout', '5s', true), set_config('statement_timeout', '0', true)

-- read_space --
SELECT space, dim, identity FROM lookalike_spaces WHERE space = %(space)s::smallint

-- entries --
SELECT space, identity, precision, space = (SELECT space FROM lookalike_index),
  (SELECT count(*) FROM lookalike_vectors WHERE lookalike_vectors.space = lookalike_spaces.space),
  coalesce(pg_total_relation_size(to_regclass('lookalike_vectors_' || space)), 0)::bigint
FROM lookalike_spaces ORDER BY space

-- insert_space --
INSERT INTO lookalike_spaces (dim, identity, precision, whole_at)
VALUES (%(dim)s, %(identity)s, %(precision)s, NULL) RETURNING space

-- make_beside --
-- Made by itself and then attached: as a partition from the start, it would wait for all searches and hold up new ones.
CREATE TABLE lookalike_vectors_{space} (
  LIKE lookalike_vectors INCLUDING ALL,
  CONSTRAINT lookalike_vectors_{space}_dim CHECK (vector_dims(vector) = {dim}),
  CONSTRAINT lookalike_vectors_{space}_space CHECK (space = {space})
)

-- attach --
ALTER TABLE lookalike_vectors ATTACH PARTITION lookalike_vectors_{space} FOR VALUES IN ({space})

-- count_missing --
SELECT count(*) FROM lookalike_contents AS picture
WHERE EXISTS (SELECT FROM lookalike_items WHERE lookalike_items.content = picture.content)
AND NOT EXISTS (
  SELECT FROM lookalike_vectors
  WHERE space = %(space)s::smallint AND lookalike_vectors.content = picture.content
)

-- missing --
SELECT content, sha256, (SELECT min(id) FROM lookalike_items AS item WHERE item.content = picture.content),
  ARRAY(SELECT DISTINCT uri FROM lookalike_items AS item WHERE item.content = picture.content AND uri <> '' LIMIT 8)
FROM lookalike_contents AS picture
WHERE content > %(after)s
AND EXISTS (SELECT FROM lookalike_items WHERE lookalike_items.content = picture.content)
AND NOT EXISTS (
  SELECT FROM lookalike_vectors
  WHERE space = %(space)s::smallint AND lookalike_vectors.content = picture.content
)
ORDER BY content LIMIT %(limit)s

-- version --
SELECT version FROM lookalike_spaces WHERE space = %(space)s::smallint

-- is_whole --
SELECT other.whole_of = searched.space AND other.whole_at = searched.version
FROM lookalike_spaces AS other, lookalike_spaces AS searched
WHERE other.space = %(space)s::smallint AND searched.space = (SELECT space FROM lookalike_index)

-- note_whole --
UPDATE lookalike_spaces SET whole_of = %(of)s::smallint, whole_at = %(at)s WHERE space = %(space)s::smallint

-- note_way_back --
-- The space that was searched until now has a vector of every item if it had when it came to be searched.
UPDATE lookalike_spaces SET
  whole_of = %(space)s::smallint,
  whole_at = whole_at * 0 + (SELECT version FROM lookalike_spaces WHERE space = %(space)s::smallint)
WHERE space = (SELECT space FROM lookalike_index)

-- note_gaps --
UPDATE lookalike_spaces SET whole_at = NULL WHERE space = %(space)s::smallint

-- lock_vectors --
-- Before the space's row is kept: who drops it takes the table first and the row then, and each would wait for the other.
LOCK TABLE lookalike_vectors IN ROW EXCLUSIVE MODE

-- keep_space --
-- Until the end of the transaction, it is not dropped.
SELECT space FROM lookalike_spaces WHERE space = %(space)s::smallint FOR KEY SHARE

-- switch --
UPDATE lookalike_index SET space = %(space)s::smallint

-- drop_partition --
DROP TABLE lookalike_vectors_{space}

-- delete_space --
DELETE FROM lookalike_spaces WHERE space = %(space)s::smallint
