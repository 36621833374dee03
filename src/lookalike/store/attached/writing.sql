-- upsert --
INSERT INTO {items} AS old ({names})
SELECT {values} FROM unnest({arrays}) AS new ({roles})
ON CONFLICT ({keys}) DO UPDATE SET {updates} {guard}
RETURNING {id}::text

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
