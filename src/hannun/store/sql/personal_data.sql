-- text_columns --
-- Columns of the service's tables that can hold any text. Partitions are searched with their table.
SELECT format('%I.%I', n.nspname, c.relname), a.attname, quote_ident(a.attname)
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname IN ('public', 'hannun') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND a.attnum > 0 AND NOT a.attisdropped
   AND format_type(a.atttypid, NULL) IN ('text', 'character varying', 'jsonb', 'text[]', 'character varying[]')
 ORDER BY c.reltuples, 1, a.attnum;

-- user_ids --
-- Every userId, with the column in which it stands.
SELECT 'hannun.events.user_id', user_id FROM hannun.events WHERE user_id IS NOT NULL GROUP BY user_id
 UNION ALL SELECT 'public.event_stats.user_id', user_id FROM public.event_stats GROUP BY user_id
 UNION ALL SELECT 'hannun.shares.user_id', user_id FROM hannun.shares GROUP BY user_id
 UNION ALL SELECT 'hannun.shares.created_by', created_by FROM hannun.shares GROUP BY created_by
 UNION ALL SELECT 'hannun.sign_in_codes.user_id', user_id FROM hannun.sign_in_codes GROUP BY user_id
 UNION ALL SELECT 'hannun.audit_subjects.subject_id', subject_id FROM hannun.audit_subjects
            WHERE kind = 'user' AND subject_id IS NOT NULL;

-- participants --
-- The participants of an event.
SELECT replace(participant::text, '-', '') FROM hannun.arrivals
 WHERE event_no = (SELECT event_no FROM hannun.events WHERE event_id = %(event_id)s);

-- dead_letter_participants --
-- The participants among the kept fields of dead letters, each with the event that the message names, if any.
SELECT event_id, fields ->> 'participant' FROM hannun.dead_letters WHERE fields ? 'participant';

-- exposed_event --
-- Whose data an event holds.
SELECT user_id, participants, first_seen_at FROM hannun.events WHERE event_id = %(event_id)s;

-- people --
-- Whose data an event holds: its merchant, and the participants of its ledger and of its dead letters, each once.
SELECT 'merchant', user_id FROM hannun.events WHERE event_id = %(event_id)s AND user_id IS NOT NULL
 UNION
SELECT 'participant', participant::text FROM hannun.arrivals
 WHERE event_no = (SELECT event_no FROM hannun.events WHERE event_id = %(event_id)s)
 UNION
SELECT 'participant', (fields ->> 'participant')::uuid::text FROM hannun.dead_letters
 WHERE event_id = %(event_id)s AND fields ->> 'participant' IS NOT NULL;

-- readers --
-- Who may have seen an event: entries about it, about all events of its owner, and about everything. Oldest first.
SELECT e.at, a.kind, a.subject_id, e.action, e.object
  FROM hannun.audit_log e
  LEFT JOIN hannun.audit_subjects a ON a.subject_ref = e.actor
  LEFT JOIN hannun.audit_subjects s ON s.subject_ref = e.subject
 WHERE e.at >= %(since)s AND (e.object = ANY(%(objects)s::text[]) OR (s.kind = 'user' AND s.subject_id = %(owner)s))
 ORDER BY e.entry_no;

-- active_links --
-- The share links of an event that were neither expired nor revoked since then.
SELECT share_id, created_at, least(expires_at, revoked_at) FROM hannun.shares
 WHERE event_id = %(event_id)s AND least(expires_at, revoked_at) >= %(since)s ORDER BY created_at;
