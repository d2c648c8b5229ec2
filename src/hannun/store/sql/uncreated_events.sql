-- uncreated_events --
-- The oldest 100 events that have participants or sales but received no event-created message for an hour: an alarm.
SELECT event_id, participants FROM hannun.events
 WHERE user_id IS NULL AND (participants > 0 OR sales > 0) AND first_seen_at < clock_timestamp() - interval '1 hour'
 ORDER BY first_seen_at LIMIT 100;
