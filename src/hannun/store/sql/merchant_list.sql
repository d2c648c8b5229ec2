-- page --
-- Merchants in the order of their ids, with what their events come to. The first part reads the index events_user_id from
-- the cursor on, until the page is full; the second part reads only the events of the page's merchants. An event whose
-- event-created has not arrived belongs to nobody yet.
WITH listed AS MATERIALIZED (
    SELECT e.user_id FROM hannun.events e
     WHERE e.user_id IS NOT NULL
       AND (%(after)s::text IS NULL OR e.user_id > %(after)s)
       AND (%(text)s::text IS NULL
            OR position(lower(normalize(%(text)s)) IN lower(normalize(e.user_id))) > 0
            -- IN reads the titles once. EXISTS would look up each event of each merchant before the page's last one.
            OR e.event_id IN (SELECT t.event_id FROM public.event_stats t
                               WHERE position(lower(normalize(%(text)s)) IN lower(normalize(t.event_title))) > 0))
     GROUP BY e.user_id ORDER BY e.user_id LIMIT %(limit)s
)
SELECT l.user_id, m.*
  FROM listed l CROSS JOIN LATERAL (
    SELECT count(*) AS all_events,
           count(*) FILTER (WHERE s.status <> 'ARCHIVED') AS events,
           count(*) FILTER (WHERE s.status = 'ACTIVE'
                              AND (e.starts_at IS NULL OR e.starts_at <= %(now)s::timestamp)
                              AND (e.ends_at IS NULL OR e.ends_at > %(now)s::timestamp)) AS running,
           coalesce(sum(s.total_participants), 0)::bigint AS participants,
           (array_agg(s.event_title ORDER BY e.plan_at DESC, s.id DESC))[1] AS newest_title,
           max(e.plan_at) AS newest_at
      FROM hannun.events e JOIN public.event_stats s USING (event_id)
     WHERE e.user_id = l.user_id
  ) m
 WHERE m.all_events > 0
 ORDER BY l.user_id;
