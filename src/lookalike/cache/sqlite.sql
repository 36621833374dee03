-- create --
CREATE TABLE towers (
  id INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL UNIQUE,
  model TEXT NOT NULL,
  space TEXT NOT NULL,
  dim INTEGER NOT NULL
);
-- Small rows, apart from the vectors: what is looked through, and changes with use.
CREATE TABLE entries (
  key BLOB PRIMARY KEY,
  id INTEGER NOT NULL,
  tower INTEGER NOT NULL REFERENCES towers (id),
  used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE vectors (
  id INTEGER PRIMARY KEY,
  vector BLOB NOT NULL,
  checksum INTEGER NOT NULL,
  n_tokens INTEGER NOT NULL,
  cost_usd REAL NOT NULL,
  warning TEXT NOT NULL
);
-- Rows of `vectors` whose entry is gone: the next entries are written over them, in place, or the file would be full
-- of half-empty pages.
CREATE TABLE vacant (id INTEGER PRIMARY KEY);
CREATE TABLE figures (hits INTEGER NOT NULL, misses INTEGER NOT NULL, saved_usd REAL NOT NULL);
INSERT INTO figures VALUES (0, 0, 0);

-- get --
SELECT used, vector, checksum, n_tokens, cost_usd, warning
FROM entries JOIN vectors USING (id) WHERE key = ?

-- read_tower --
SELECT id FROM towers WHERE fingerprint = ?

-- insert_tower --
INSERT INTO towers (fingerprint, model, space, dim) VALUES (?, ?, ?, ?)

-- towers --
SELECT id, fingerprint, model, space, dim FROM towers

-- last_vector --
SELECT coalesce(max(id), 0) FROM vectors

-- read_vacant --
SELECT id FROM vacant LIMIT ?

-- drop_vacant --
DELETE FROM vacant WHERE id = ?

-- insert_vacant --
INSERT INTO vacant (id) VALUES (?)

-- clear_vacant --
DELETE FROM vacant

-- insert_entry --
INSERT INTO entries (key, id, tower, used) VALUES (?, ?, ?, ?)

-- insert_vector --
INSERT OR REPLACE INTO vectors (id, vector, checksum, n_tokens, cost_usd, warning) VALUES (?, ?, ?, ?, ?, ?)

-- use --
UPDATE entries SET used = ? WHERE key = ?

-- count --
UPDATE figures SET hits = hits + ?, misses = misses + ?, saved_usd = saved_usd + ?

-- figures --
SELECT hits, misses, saved_usd FROM figures

-- count_entries --
SELECT count(*) FROM entries

-- holdings --
SELECT fingerprint, model, space, dim, count(*) FROM entries JOIN towers ON towers.id = tower
GROUP BY tower ORDER BY count(*) * dim DESC

-- oldest --
SELECT key, id FROM entries ORDER BY used, id LIMIT ?

-- by_age --
SELECT key, dim FROM entries JOIN towers ON towers.id = tower ORDER BY used DESC, entries.id DESC

-- delete_entry --
DELETE FROM entries WHERE key = ?

-- delete_model --
DELETE FROM entries WHERE tower IN (SELECT id FROM towers WHERE model = ?1 OR space = ?1)

-- delete_unused --
DELETE FROM entries WHERE used < ?

-- delete_orphans --
DELETE FROM vectors WHERE id NOT IN (SELECT id FROM entries)

-- delete_towers --
DELETE FROM towers WHERE id NOT IN (SELECT tower FROM entries)

-- page --
SELECT key, tower, vector, checksum, n_tokens, cost_usd, warning
FROM entries JOIN vectors USING (id) WHERE key > ? ORDER BY key LIMIT ?
