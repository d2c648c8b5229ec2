-- owns --
-- Whether an event is this user's. Another's and none at all are the same to it: no row.
SELECT true FROM hannun.events WHERE event_id = %(event_id)s AND user_id = %(user_id)s;
