-- owns --
-- Whether an event belongs to this user. No row for another user's event, and no row for an event that does not exist.
SELECT true FROM hannun.events WHERE event_id = %(event_id)s AND user_id = %(user_id)s;
