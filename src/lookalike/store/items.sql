-- create --
CREATE TABLE meta (                 -- what the index is; never changes but for the format
    one INTEGER PRIMARY KEY CHECK (one = 1),
    format INTEGER NOT NULL,
    space TEXT NOT NULL
);
CREATE TABLE state (                -- changes with every commit: readers look here first
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,       -- one more with every commit
    generation INTEGER NOT NULL,    -- one more with every compaction: slots mean other rows then
    slots INTEGER NOT NULL,         -- how many rows of the segments count
    screened INTEGER NOT NULL,      -- how many rows there were when the screen was fitted; 0 for no screen
    items INTEGER NOT NULL,
    last_item INTEGER NOT NULL
);
CREATE TABLE screen (one INTEGER PRIMARY KEY CHECK (one = 1), parameters BLOB NOT NULL);
CREATE TABLE batches (first_slot INTEGER PRIMARY KEY, n_slots INTEGER NOT NULL, crc32 INTEGER NOT NULL);
CREATE TABLE contents (slot INTEGER PRIMARY KEY, digest BLOB NOT NULL);  -- each digest once; how to find one: digests.py
CREATE TABLE dead (slot INTEGER PRIMARY KEY);   -- contents that no item uses
CREATE TABLE projects (project INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, n_items INTEGER NOT NULL);
CREATE TABLE items (
    item INTEGER PRIMARY KEY,   -- counted in table state and never used again, so readers can ask for what is new
    project INTEGER NOT NULL,
    id TEXT NOT NULL,
    slot INTEGER NOT NULL,
    uri TEXT NOT NULL,
    caption TEXT NOT NULL,
    metadata TEXT NOT NULL
);
CREATE UNIQUE INDEX items_key ON items (project, id);
CREATE INDEX items_slot ON items (slot);
CREATE TABLE tags (tag INTEGER PRIMARY KEY, name TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (name, value));
CREATE TABLE item_tags (tag INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (tag, item)) WITHOUT ROWID;
CREATE TABLE removals (removal INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL);
CREATE TABLE ledger (
    project TEXT NOT NULL,
    uri TEXT NOT NULL,
    item_id TEXT NOT NULL,
    stamp TEXT NOT NULL,
    outcome TEXT NOT NULL,
    content TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (project, uri)
) WITHOUT ROWID;

-- first_meta --
INSERT INTO meta VALUES (1, ?, ?)

-- first_state --
INSERT INTO state VALUES (1, 0, 1, 0, 0, 0, 0)

-- read_meta --
SELECT format, space FROM meta

-- without_digest_index --
DROP INDEX IF EXISTS contents_digest

-- write_format --
UPDATE meta SET format = ?

-- read_state --
SELECT version, generation, slots, screened, items FROM state

-- write_state --
UPDATE state SET version = version + 1, generation = ?, slots = ?, screened = ?,
    items = (SELECT coalesce(sum(n_items), 0) FROM projects)

-- read_screen --
SELECT parameters FROM screen

-- write_screen --
INSERT OR REPLACE INTO screen VALUES (1, ?)

-- write_batch --
INSERT OR REPLACE INTO batches VALUES (?, ?, ?)

-- read_batches --
SELECT first_slot, n_slots, crc32 FROM batches ORDER BY first_slot

-- drop_batches --
DELETE FROM batches

-- insert_content --
INSERT INTO contents VALUES (?, ?)

-- beginnings --
SELECT coalesce(group_concat(begin, ''), '') FROM (
    SELECT substr(hex(digest), 1, 2 * :n) AS begin FROM contents
    WHERE slot >= :first AND slot < :end ORDER BY slot
)

-- count_twice --
SELECT count(*) - count(DISTINCT digest) FROM contents

-- content_of_slot --
SELECT digest FROM contents WHERE slot = ?

-- contents_alive --
SELECT slot FROM contents WHERE slot NOT IN (SELECT slot FROM dead) ORDER BY slot

-- read_dead --
SELECT slot FROM dead ORDER BY slot

-- count_dead --
SELECT count(*) FROM dead

-- count_unchecked --
SELECT count(*) FROM contents
WHERE length(digest) = :n_bytes AND substr(digest, 1, 1) = :mark AND slot NOT IN (SELECT slot FROM dead)

-- mark_dead --
INSERT OR IGNORE INTO dead SELECT :slot WHERE NOT EXISTS (SELECT 1 FROM items WHERE slot = :slot)

-- mark_alive --
DELETE FROM dead WHERE slot = ?

-- drop_dead --
DELETE FROM contents WHERE slot IN (SELECT slot FROM dead)

-- clear_dead --
DELETE FROM dead

-- move_content --
UPDATE contents SET slot = ? WHERE slot = ?

-- move_items --
UPDATE items SET slot = ? WHERE slot = ?

-- insert_project --
INSERT INTO projects (name, n_items) VALUES (?, 0)

-- read_project --
SELECT project FROM projects WHERE name = ?

-- read_projects --
SELECT name, n_items FROM projects WHERE n_items > 0 ORDER BY name

-- count_project --
UPDATE projects SET n_items = n_items + ? WHERE project = ?

-- insert_item --
INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, ?, ?)

-- items_from --
SELECT item FROM items WHERE item >= ?

-- item_row --
SELECT item, slot, metadata FROM items WHERE project = ? AND id = ?

-- last_item --
SELECT last_item FROM state

-- count_items --
UPDATE state SET last_item = last_item + ?

-- delete_item --
DELETE FROM items WHERE item = ?

-- get_item --
SELECT projects.name, items.id, contents.digest, uri, caption, metadata
FROM items JOIN projects USING (project) JOIN contents USING (slot)
WHERE project = ? AND id = ?

-- items_of_slot --
SELECT projects.name, items.id, contents.digest, uri, caption, metadata
FROM items JOIN projects USING (project) JOIN contents USING (slot)
WHERE slot = ?

-- page_of_items --
SELECT projects.name, items.id, contents.digest, uri, caption, metadata
FROM items JOIN projects USING (project) JOIN contents USING (slot)
WHERE project = ? AND id >= ? ORDER BY id LIMIT ?

-- newest_items --
SELECT item, projects.name, items.id, contents.digest, uri, caption, metadata
FROM items NOT INDEXED CROSS JOIN projects USING (project) CROSS JOIN contents USING (slot)
WHERE item < :before AND (:project IS NULL OR items.project = :project) ORDER BY item DESC LIMIT :limit

-- newest_items_of_tag --
SELECT item, projects.name, items.id, contents.digest, uri, caption, metadata
FROM item_tags CROSS JOIN items USING (item) CROSS JOIN projects USING (project) CROSS JOIN contents USING (slot)
WHERE tag = :tag AND item < :before AND (:project IS NULL OR items.project = :project) ORDER BY item DESC LIMIT :limit

-- all_items_of_project --
SELECT item, slot FROM items INDEXED BY items_key WHERE project = ?

-- new_items_of_project --
SELECT item, slot FROM items NOT INDEXED WHERE project = ? AND item > ?

-- new_items_of_tag --
SELECT item, slot FROM item_tags JOIN items USING (item) WHERE tag = ? AND item > ?

-- read_tag --
SELECT tag FROM tags WHERE name = ? AND value = ?

-- insert_tag --
INSERT INTO tags (name, value) VALUES (?, ?)

-- insert_item_tag --
INSERT OR IGNORE INTO item_tags VALUES (?, ?)

-- delete_item_tag --
DELETE FROM item_tags WHERE tag = ? AND item = ?

-- insert_removal --
INSERT INTO removals (item) VALUES (?)

-- new_removals --
SELECT removal, item FROM removals WHERE removal > ? ORDER BY removal

-- clear_removals --
DELETE FROM removals

-- check_database --
PRAGMA quick_check(1)
