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

-- any_marked --
SELECT 1 FROM ledger WHERE project = ? AND uri >= 'left-behind:' AND uri < 'left-behind;' LIMIT 1

-- unmark --
DELETE FROM ledger WHERE project = ? AND uri = ? RETURNING reason

-- forget_failure --
DELETE FROM ledger WHERE project = ? AND uri = ? AND item_id = ? AND stamp = ?
