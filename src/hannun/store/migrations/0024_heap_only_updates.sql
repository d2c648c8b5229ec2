-- squawk-ignore-file require-concurrent-index-creation, require-concurrent-index-deletion
-- A batch changes a row of event_stats and of channel_stats for each of its events. With room on the page, and no B-tree over a
-- column that changes, PostgreSQL changes such a row without a new entry in every index of the table (a heap-only update; a BRIN
-- index does not prevent it). No statement of the contract sorts all channels by participants, which only the B-tree could serve.
-- Counting waits while channel_stats is read once: a second for some million rows. Pages that exist get room as they are vacuumed.
DROP INDEX public.idx_channel_stats_participants;
CREATE INDEX idx_channel_stats_participants ON public.channel_stats USING brin (participants);
ALTER TABLE public.channel_stats SET (fillfactor = 60);
ALTER TABLE public.event_stats SET (fillfactor = 60);

-- locks: public.channel_stats ACCESS EXCLUSIVE, scanned
-- locks: public.event_stats SHARE UPDATE EXCLUSIVE
