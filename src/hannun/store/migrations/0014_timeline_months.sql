-- Participants by month, whatever months of the timeline are attached. What lies in a detached month was taken to have come before
-- everything else. The table is filled from the ledger: about 1 s for each million rows. Writers go on meanwhile. A counter of the
-- version before does not write it: the roll-up counts the months of its events again, so replace `schedule` first.
CREATE TABLE hannun.timeline_months (
    event_no     integer NOT NULL,
    month        date    NOT NULL,
    participants integer NOT NULL DEFAULT 0 CHECK (participants >= 0),
    PRIMARY KEY (event_no, month)
) WITH (fillfactor = 60);
INSERT INTO hannun.timeline_months (event_no, month, participants)
SELECT event_no, date_trunc('month', to_timestamp(minute * 60.0) AT TIME ZONE 'UTC')::date, sum(participants)
  FROM (SELECT event_no, minute, count(*) AS participants FROM hannun.arrivals GROUP BY 1, 2
         UNION ALL
        SELECT event_no, (extract(epoch FROM minute) / 60)::int, 0 FROM hannun.increments) AS happened
 GROUP BY 1, 2;

-- The cumulative column of every event is checked once against the ledger.
UPDATE hannun.events SET cumulative_owed_from = '1970-01-01'
 WHERE event_no IN (SELECT event_no FROM hannun.timeline_months m
                     WHERE NOT EXISTS (SELECT FROM hannun.timeline_spans('1970-01-01', '9999-01-01') s
                                        WHERE m.month >= s.begins AND m.month < s.ends));

-- The months that were attached when the answers over them were last invalidated.
CREATE TABLE hannun.attached_months (
    month date NOT NULL PRIMARY KEY
);
INSERT INTO hannun.attached_months
SELECT generate_series(begins, ends - interval '1 month', interval '1 month')
  FROM hannun.timeline_spans('0001-01-01', '9999-01-01');

-- As before, and a month whose table was dropped is made again from the ledgers.
CREATE OR REPLACE FUNCTION hannun.make_timeline_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    starts  timestamp := date_trunc('month', month::timestamp);
    ends    timestamp := starts + interval '1 month';
    name    text      := 'timeline_data_' || to_char(starts, 'YYYY_MM');
    dropped boolean   := false;
    again   boolean;
BEGIN
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('public.' || name) AND NOT inhdetachpending) THEN
        RETURN false;
    END IF;
    -- One process at a time; a process that waited finds the partition. This reads pg_class, because to_regclass caches that
    -- the table was missing.
    PERFORM pg_advisory_xact_lock(hashtext('hannun.make_timeline_month'));
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name AND NOT i.inhdetachpending) THEN
        RETURN false;
    END IF;
    -- Its detachment was interrupted: it accepts no rows, and is still a partition. Finish the detachment, then re-attach it.
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name) THEN
        EXECUTE format('ALTER TABLE public.timeline_data DETACH PARTITION public.%I FINALIZE', name);
    END IF;
    -- The table of a detached month still exists, and is re-attached: a message needs it.
    again := EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = name);
    IF NOT again THEN
        dropped := EXISTS (SELECT FROM hannun.timeline_months m WHERE m.month = starts);
        EXECUTE format('CREATE TABLE public.%I (LIKE public.timeline_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    END IF;
    IF dropped THEN
        -- Nobody counts for this month meanwhile: its minutes cannot be written before it is attached.
        EXECUTE format(
            'INSERT INTO public.%I (event_id, timestamp, participants, views, engagement, conversions)'
            ' SELECT e.event_id, h.at, sum(h.participants), sum(h.views), sum(h.engagement), sum(h.conversions)'
            '   FROM (SELECT a.event_no, to_timestamp(a.minute * 60.0) AT TIME ZONE ''UTC'' AS at, count(*) AS participants,'
            '                0::bigint AS views, 0::bigint AS engagement, 0::bigint AS conversions'
            '           FROM hannun.timeline_months m JOIN hannun.arrivals a USING (event_no)'
            '          WHERE m.month = $1 AND a.minute >= extract(epoch FROM $1) / 60'
            '            AND a.minute < extract(epoch FROM $2) / 60 GROUP BY 1, 2'
            '          UNION ALL'
            '         SELECT i.event_no, i.minute, 0, sum(i.views), sum(i.likes + i.comments + i.shares + i.clicks),'
            '                sum(i.conversions) FROM hannun.increments i WHERE i.minute >= $1 AND i.minute < $2 GROUP BY 1, 2) h'
            '   JOIN hannun.events e USING (event_no) GROUP BY 1, 2', name) USING starts, ends;
    END IF;
    EXECUTE format('ALTER TABLE public.timeline_data ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   name, starts, ends);
    IF again OR dropped THEN
        -- The roll-up was written without this month's minutes. Events are locked in the order in which every writer locks.
        EXECUTE format('UPDATE hannun.events e SET cumulative_owed_from = least(e.cumulative_owed_from, %L)'
                       ' WHERE e.event_no IN (SELECT h.event_no FROM hannun.events h'
                       ' WHERE h.event_id IN (SELECT event_id FROM public.%I) ORDER BY h.event_no FOR UPDATE)', starts, name);
        -- So answers that say that the month is not kept are invalidated.
        DELETE FROM hannun.attached_months a WHERE a.month = starts;
    ELSE
        INSERT INTO hannun.attached_months VALUES (starts) ON CONFLICT DO NOTHING;
    END IF;
    RETURN true;
END $$;

-- locks: hannun.events ROW EXCLUSIVE, written
-- locks: hannun.increments ACCESS SHARE, scanned
-- locks: hannun.participants ACCESS SHARE, scanned
