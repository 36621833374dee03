-- known --
SELECT project, uri, item_id, stamp, outcome, content, reason FROM ledger WHERE project = ? AND uri = ?

-- page --
SELECT project, uri, item_id, stamp, outcome, content, reason FROM ledger
WHERE project = ? AND uri >= ? ORDER BY uri LIMIT ?

-- record --
INSERT OR REPLACE INTO ledger (project, uri, item_id, stamp, outcome, content, reason) VALUES (?, ?, ?, ?, ?, ?, ?)

-- forget --
DELETE FROM ledger WHERE project = ? AND uri = ?

-- projects --
SELECT DISTINCT project FROM ledger ORDER BY project
