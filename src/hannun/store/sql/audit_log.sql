-- add --
-- Append an entry. The trigger gives it its number, its time and its hashes; it locks the end of the log until the commit.
INSERT INTO hannun.audit_log (actor, action, object, subject, reason)
VALUES (hannun.audit_subject(%(actor_kind)s, %(actor_id)s), %(action)s, %(object)s,
        CASE WHEN %(subject_id)s::text IS NOT NULL THEN hannun.audit_subject(%(subject_kind)s, %(subject_id)s) END, %(reason)s);

-- forget --
-- Forget a person.
UPDATE hannun.audit_subjects SET salt = NULL, subject_id = NULL WHERE kind = %(kind)s AND subject_id = %(id)s;

-- entries --
-- All entries, oldest first.
SELECT entry_no, at, actor, action, object, subject, reason, previous_hash, hash FROM hannun.audit_log ORDER BY entry_no;

-- named --
-- Whether an entry names this person.
SELECT FROM hannun.audit_subjects WHERE kind = %(kind)s AND subject_id = %(id)s;

-- subjects --
-- All people that entries name.
SELECT subject_ref, kind, salt, subject_id FROM hannun.audit_subjects ORDER BY subject_ref;

-- unnamed --
-- References in entries that name nobody: their row in hannun.audit_subjects was removed.
SELECT min(entry_no), count(*)
  FROM (SELECT entry_no, actor AS ref FROM hannun.audit_log
         UNION ALL SELECT entry_no, subject FROM hannun.audit_log WHERE subject IS NOT NULL) named
 WHERE NOT EXISTS (SELECT FROM hannun.audit_subjects s WHERE s.subject_ref = named.ref)
 GROUP BY ref ORDER BY 1 LIMIT 100;

-- newest --
-- The end of the chain.
SELECT entry_no, hash FROM hannun.audit_log ORDER BY entry_no DESC LIMIT 1;

-- find --
-- The newest entries with the people that they name; NULL is one that was forgotten. Each filter may be NULL.
SELECT e.entry_no, e.at, a.kind, a.subject_id, e.action, e.object, s.kind, s.subject_id, e.reason, encode(e.hash, 'hex')
  FROM hannun.audit_log e
  LEFT JOIN hannun.audit_subjects a ON a.subject_ref = e.actor
  LEFT JOIN hannun.audit_subjects s ON s.subject_ref = e.subject
 WHERE (%(action)s::text IS NULL OR e.action = %(action)s)
   AND (%(object)s::text IS NULL OR e.object = %(object)s)
   AND (%(since)s::timestamp IS NULL OR e.at >= %(since)s)
   AND (%(person)s::text IS NULL OR a.subject_id = %(person)s OR s.subject_id = %(person)s)
 ORDER BY e.entry_no DESC LIMIT %(limit)s;
