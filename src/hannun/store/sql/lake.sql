-- The rows that leave for analysts: the ledgers without people. Each query is ordered by month. All run in one snapshot.

-- state --
-- Which state of the database a snapshot shows.
SELECT now() AT TIME ZONE 'UTC', pg_current_snapshot()::text, (SELECT coalesce(max(version), 0) FROM hannun.events);

-- positions --
-- Up to where the topics are counted.
SELECT topic, partition, next_offset FROM hannun.positions ORDER BY topic, partition;

-- totals --
-- What the rows must add up to, from the totals that `hannun reconcile` compares with the ledgers.
SELECT (SELECT coalesce(sum(participants), 0) FROM hannun.events)::bigint,
       (SELECT coalesce(sum(views), 0) FROM hannun.increments)::bigint;

-- arrivals --
-- The ledger of participants, counted by event, channel and minute: no participant is named.
COPY (SELECT date_trunc('month', at)::date AS month, event_id, channel, at AS timestamp, count(*) AS participants
        FROM (SELECT e.event_id, c.name AS channel, to_timestamp(a.minute * 60.0) AT TIME ZONE 'UTC' AS at
                FROM hannun.arrivals a JOIN hannun.events e USING (event_no) LEFT JOIN hannun.channels c USING (channel_no)) p
       GROUP BY at, event_id, channel
       ORDER BY at, event_id COLLATE "C", channel COLLATE "C") TO STDOUT (FORMAT csv, HEADER);

-- measurements --
-- The ledger of what the channels measured. A baseline is the first measurement of an event: all that was there before.
COPY (SELECT date_trunc('month', i.minute)::date AS month, e.event_id, c.name AS channel, i.minute AS timestamp, i.baseline,
             i.impressions, i.views, i.clicks, i.conversions, i.likes, i.comments, i.shares, i.total_calls, i.completed_calls
        FROM hannun.increments i JOIN hannun.events e USING (event_no) JOIN hannun.channels c USING (channel_no)
       ORDER BY i.minute, e.event_id COLLATE "C", c.name COLLATE "C") TO STDOUT (FORMAT csv, HEADER);

-- timeline --
-- The minutes of the timeline, from the ledgers: also those of months that are detached or dropped.
COPY (SELECT date_trunc('month', at)::date AS month, e.event_id, at AS timestamp, sum(h.participants)::bigint AS participants,
             sum(h.views)::bigint AS views, sum(h.engagement)::bigint AS engagement, sum(h.conversions)::bigint AS conversions
        FROM (SELECT event_no, to_timestamp(minute * 60.0) AT TIME ZONE 'UTC' AS at, count(*) AS participants,
                     0::bigint AS views, 0::bigint AS engagement, 0::bigint AS conversions
                FROM hannun.arrivals GROUP BY 1, 2
               UNION ALL
              SELECT event_no, minute, 0, sum(views), sum(likes + comments + shares + clicks), sum(conversions)
                FROM hannun.increments GROUP BY 1, 2) h
        JOIN hannun.events e USING (event_no)
       GROUP BY at, e.event_id
       ORDER BY at, e.event_id COLLATE "C") TO STDOUT (FORMAT csv, HEADER);
