-- wait --
-- One of lookalike's writers at a time: which rows are there, and which have to be made, shows only on the way, so that
-- two could each hold what the other needs. Of the transaction, not of the session: see store.sql.
SELECT pg_advisory_xact_lock((7813962::bigint << 32) + %(oid)s::bigint)

-- lock_rows --
SELECT {own_project}, coalesce(new_project::text, ''), old.{id}::text FROM {items} AS old
JOIN unnest(%(projects)s::{project_type}[], %(ids)s::{id_type}[]) AS new (new_project, new_id)
ON old.{id} = new_id AND {same_project}
ORDER BY old.{id}::text COLLATE "C" FOR UPDATE OF old

-- update --
UPDATE {items} AS old SET {updates} FROM unnest({arrays}) AS new ({roles}) WHERE {same}

-- merged --
-- Only what is new or another: the number 5 is not written again as the text "5".
(
  SELECT CASE WHEN count(*) = 0 THEN {old} ELSE (coalesce({old}::jsonb, '{{}}') || jsonb_object_agg(key, value))::{type} END
  FROM jsonb_each(new.document::jsonb) WHERE value #>> '{{}}' IS DISTINCT FROM {old}::jsonb ->> key
)

-- insert --
INSERT INTO {items} AS old ({names})
SELECT {values} FROM unnest({arrays}) AS new ({roles})
ON CONFLICT ({keys}) DO NOTHING
RETURNING {made_project}, {id}::text

-- upsert_vectors --
INSERT INTO {vectors} AS old ({key}, {vector})
SELECT new.id::{id_type}, new.vector::{kind} FROM unnest(%(id)s::text[], %(vector)s::text[]) AS new (id, vector)
ON CONFLICT ({key}) DO UPDATE SET {vector} = excluded.{vector}

-- clear_vectors --
UPDATE {vectors} AS old SET {vector} = NULL
FROM unnest(%(projects)s::{project_type}[], %(ids)s::{id_type}[]) AS new (new_project, new_id)
WHERE old.{key} = new_id AND {same_project}

-- delete_vectors --
DELETE FROM {vectors} AS old USING unnest(%(ids)s::{id_type}[]) AS new (new_id) WHERE old.{key} = new_id

-- delete_rows --
DELETE FROM {items} AS old
USING unnest(%(projects)s::{project_type}[], %(ids)s::{id_type}[]) AS new (new_project, new_id)
WHERE old.{id} = new_id AND {same_project}
