"""The rows of the ledger in PostgreSQL as every reader sees them: each payment with its decision.

The decision is a scalar subquery per returned row (one index descent), so the cost of a page does not depend on the
rows before it. For a join the planner merges two ordered scans, and only the scan of `entries` starts at the page;
the scan of `decisions` starts at its first row.
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

#: Prefix of a reader's statement: `events` then names this query and not the view in the database, which an older
#: release may have created. The planner inlines it.
READING = f"WITH events AS NOT MATERIALIZED ({EVENTS}) "
