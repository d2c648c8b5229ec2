-- page --
-- Events of all merchants, newest `createdAt` first (`plan_at`, that of the newest event-created message). An event whose
-- event-created has not arrived is not listed.
SELECT s.id, e.plan_at, e.event_id, s.event_title, e.user_id, s.status, e.starts_at, e.ends_at, s.total_participants
  FROM hannun.events e JOIN public.event_stats s USING (event_id)
 WHERE e.user_id IS NOT NULL
   AND (%(user_id)s::text IS NULL OR e.user_id = %(user_id)s)
   AND (%(status)s::text IS NULL OR s.status = %(status)s)
   AND (%(text)s::text IS NULL OR position(lower(normalize(%(text)s)) IN lower(normalize(s.event_title))) > 0)
   -- It follows from the next condition, and leaves rows of `events` out before the join.
   AND (%(before_at)s::timestamp IS NULL OR e.plan_at <= %(before_at)s::timestamp)
   AND (%(before_id)s::bigint IS NULL OR (e.plan_at, s.id) < (%(before_at)s::timestamp, %(before_id)s::bigint))
 ORDER BY e.plan_at DESC, s.id DESC LIMIT %(limit)s;

-- is_merchant --
-- Whether any event belongs to this user. Events before their event-created message belong to nobody yet.
SELECT true FROM hannun.events WHERE user_id = %(user_id)s LIMIT 1;
