-- UUIDs in capitals are the same id: messages and addresses use the lower case from now on, so what is stored does too. An event
-- that was counted under several spellings keeps them as they are, because their counts cannot be added up here:
-- `hannun replay --into shadow` and `replay swap` unite them. It is one statement, so every part sees the ids of before.
WITH respelled AS MATERIALIZED (
    SELECT was, lower(was) AS now
      FROM (SELECT event_id AS was, count(*) OVER (PARTITION BY lower(event_id)) AS spellings FROM hannun.events
             WHERE event_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') AS ids
     WHERE spellings = 1 AND was <> lower(was)
), stats AS (
    UPDATE public.event_stats SET event_id = now FROM respelled WHERE event_id = was
), channels AS (
    UPDATE public.channel_stats SET event_id = now FROM respelled WHERE event_id = was
), timeline AS (
    UPDATE public.timeline_data SET event_id = now FROM respelled WHERE event_id = was
), links AS (
    UPDATE hannun.shares SET event_id = now FROM respelled WHERE event_id = was
)
UPDATE hannun.events SET event_id = now FROM respelled WHERE event_id = was;

UPDATE public.event_stats SET user_id = lower(user_id)
 WHERE user_id <> lower(user_id) AND user_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
UPDATE hannun.events SET user_id = lower(user_id)
 WHERE user_id <> lower(user_id) AND user_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
UPDATE hannun.shares SET user_id = lower(user_id)
 WHERE user_id <> lower(user_id) AND user_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

UPDATE hannun.sales s SET sale_id = lower(sale_id)
 WHERE sale_id <> lower(sale_id) AND sale_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
   AND NOT EXISTS (SELECT FROM hannun.sales t WHERE t.event_no = s.event_no AND lower(t.sale_id) = lower(s.sale_id)
                      AND t.sale_id <> s.sale_id);

-- locks: hannun.events ROW EXCLUSIVE, written
-- locks: hannun.sales ROW EXCLUSIVE, written
-- locks: hannun.shares ROW EXCLUSIVE, written
-- locks: public.channel_stats ROW EXCLUSIVE, written
-- locks: public.event_stats ROW EXCLUSIVE, written
-- locks: public.timeline_data ROW EXCLUSIVE, written
