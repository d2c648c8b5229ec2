-- A month whose detachment was broken off takes no rows, and looked as if it were there: a message for it could never land.
CREATE OR REPLACE FUNCTION hannun.make_timeline_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    starts date := date_trunc('month', month)::date;
    name   text := 'timeline_data_' || to_char(starts, 'YYYY_MM');
BEGIN
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('public.' || name) AND NOT inhdetachpending) THEN
        RETURN false;
    END IF;
    -- One at a time over all processes; whoever waited finds it made. Asked of the table and not of to_regclass, which
    -- remembers that it was not there.
    PERFORM pg_advisory_xact_lock(hashtext('hannun.make_timeline_month'));
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name AND NOT i.inhdetachpending) THEN
        RETURN false;
    END IF;
    -- Letting it go was broken off: it takes no rows, and is not out. First out, then in again.
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relname = name) THEN
        EXECUTE format('ALTER TABLE public.timeline_data DETACH PARTITION public.%I FINALIZE', name);
    END IF;
    -- A month that was let go is taken in again: a message needs it.
    IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = name) THEN
        EXECUTE format('CREATE TABLE public.%I (LIKE public.timeline_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    END IF;
    EXECUTE format('ALTER TABLE public.timeline_data ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   name, starts, (starts + interval '1 month')::date);
    RETURN true;
END $$;
