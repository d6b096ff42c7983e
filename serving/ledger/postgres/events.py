"""The rows of the ledger in PostgreSQL, as every reader sees them: a payment with what was decided about it.

The decision is looked up for each row that is returned (one descent of an index), so the cost of a page does not
depend on what stands before it. A join would leave the order to the planner: it merges two ordered scans, and of
these only the one over `entries` begins at the page; the one over `decisions` begins at its first row.
"""

from __future__ import annotations

EVENTS = """SELECT p.seq, p.kind, p.transaction_id, p.event_time_ms, p.arrival_time_ms,
    CASE
        WHEN p.kind <> 'payment' THEN p.body
        ELSE '{"payment":'::bytea || p.body || coalesce(
            (SELECT ','::bytea || substring(d.body FROM 2) FROM decisions d WHERE d.payment_seq = p.seq),
            ',"receipt":null,"answer":null}'::bytea)
    END AS body
FROM entries p"""

#: Stands before a reader's statement, so that `events` in it is this and not the view of the database: an older
#: release may have made that one. The planner inlines it.
READING = f"WITH events AS NOT MATERIALIZED ({EVENTS}) "
