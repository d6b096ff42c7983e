"""The Lua scripts that run inside Redis, each atomic; they move bytes and never compute a feature.

Redis Cluster runs a script on one slot only: there serving/redis_store/cluster.py takes the same steps one after the
other, with the scripts for single keys.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from features.state.codec import EMPTY


class Script(NamedTuple):
    """Lua text and the SHA-1 that EVALSHA takes."""

    text: str
    sha: str


def script(text: str) -> Script:
    """A script with its digest."""
    return Script(text, hashlib.sha1(text.encode()).hexdigest())


_EMPTY = "".join(f"\\{byte}" for byte in EMPTY)

#: KEYS: idempotency record, stream, then one string per entity. ARGV: digest, due, seconds to keep the record,
#: stream limit, transaction id, event time, arrival time, body, then the event for each string.
#: Replies {known record}, {false} when the stream is full, or {false, payment id, strings before it...}.
ADMIT = script(f"""
local known = redis.call('GET', KEYS[1])
if known then return {{known}} end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[4]) then return {{false}} end
local reply, marks = {{false, false}}, {{}}
for i = 3, #KEYS do
  local old = redis.call('GET', KEYS[i])
  if old then
    redis.call('APPEND', KEYS[i], ARGV[i + 6])
    marks[i - 2] = string.sub(old, 1, 8) .. struct.pack('<I4', #old)
  else
    redis.call('SET', KEYS[i], '{_EMPTY}' .. ARGV[i + 6])
    marks[i - 2] = string.rep('\\0', 12)
  end
  reply[i] = old
end
local id = redis.call('XADD', KEYS[2], '*', 'k', 'payment', 't', ARGV[5], 'e', ARGV[6], 'a', ARGV[7], 'b', ARGV[8])
redis.call('SET', KEYS[1], 'P' .. ARGV[1] .. ARGV[2] .. string.char(#KEYS - 2) .. table.concat(marks) .. id,
  'EX', ARGV[3])
reply[2] = id
return reply
""")

#: KEYS: idempotency record, stream, waiting reports, then one string per entity. ARGV: digest, seconds to keep the
#: record, stream limit, transaction id, event time, arrival time, body, body of the decision up to the id of the
#: payment, answer, case (may be empty), then the event for each string. Both steps in one, for a decision that was made
#: without state. Replies as ADMIT, without strings, and with a third value if reports wait for the payment.
ADMIT_DECIDED = script(f"""
local known = redis.call('GET', KEYS[1])
if known then return {{known}} end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[3]) then return {{false}} end
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('APPEND', KEYS[i], ARGV[i + 7])
  else
    redis.call('SET', KEYS[i], '{_EMPTY}' .. ARGV[i + 7])
  end
end
local id = redis.call('XADD', KEYS[2], '*', 'k', 'payment', 't', ARGV[4], 'e', ARGV[5], 'a', ARGV[6], 'b', ARGV[7])
local fields = {{'k', 'decision', 't', ARGV[4], 'e', ARGV[5], 'a', ARGV[6], 'b', ARGV[8] .. id .. '"}}'}}
if ARGV[10] ~= '' then
  fields[11], fields[12] = 'c', ARGV[10]
end
local decision = redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('SET', KEYS[1], 'A' .. ARGV[1] .. string.char(#id) .. id .. string.char(#decision) .. decision .. ARGV[9],
  'EX', ARGV[2])
if redis.call('EXISTS', KEYS[3]) == 1 then return {{false, id, 1}} end
return {{false, id}}
""")

#: KEYS: idempotency record, stream, waiting reports. ARGV: digest, payment id, seconds to keep the record, answer,
#: transaction id, event time, arrival time, body, case (may be empty). Replies the record if it is answered already,
#: else 1 if reports wait for the payment, or 0.
DECIDE = script("""
local known = redis.call('GET', KEYS[1])
if known and string.byte(known) == 65 then return known end
local id
if ARGV[9] == '' then
  id = redis.call('XADD', KEYS[2], '*', 'k', 'decision', 't', ARGV[5], 'e', ARGV[6], 'a', ARGV[7], 'b', ARGV[8])
else
  id = redis.call('XADD', KEYS[2], '*', 'k', 'decision', 't', ARGV[5], 'e', ARGV[6], 'a', ARGV[7], 'b', ARGV[8],
    'c', ARGV[9])
end
redis.call('SET', KEYS[1], 'A' .. ARGV[1] .. string.char(#ARGV[2]) .. ARGV[2] .. string.char(#id) .. id .. ARGV[4],
  'EX', ARGV[3])
return redis.call('EXISTS', KEYS[3])
""")

#: KEYS: a string. ARGV: the header it must still have, the offset of the bytes that are kept, new header and record.
COMPACT = script("""
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[3] .. redis.call('GETRANGE', KEYS[1], ARGV[2], -1))
return 1
""")

#: KEYS: reports of a payment, stream, then strings. ARGV: the reports it must still hold (empty: none), the new
#: ones, seconds to keep them, stream limit, kind, transaction id, event time, arrival time, body, then the events
#: for each string. Replies {1, id}, {0, reports} when they changed, or {2} when the stream is full.
REPORT = script("""
local known = redis.call('GET', KEYS[1]) or ''
if known ~= ARGV[1] then return {0, known} end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[4]) then return {2} end
for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('APPEND', KEYS[i], ARGV[i + 7]) end
end
local id = redis.call('XADD', KEYS[2], '*', 'k', ARGV[5], 't', ARGV[6], 'e', ARGV[7], 'a', ARGV[8], 'b', ARGV[9])
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return {1, id}
""")

#: For a cluster. KEYS: a string. ARGV: the event. Replies the string before it; a second call gives the same reply.
APPEND = script(f"""
local old = redis.call('GET', KEYS[1])
if not old then
  redis.call('SET', KEYS[1], '{_EMPTY}' .. ARGV[1])
  return old
end
local place = string.find(old, ARGV[1], 9, true)
if place == 9 then return false end
if place then return string.sub(old, 1, place - 1) end
redis.call('APPEND', KEYS[1], ARGV[1])
return old
""")

#: For a cluster. KEYS: a string. ARGV: the event. Appends only if the string exists.
APPEND_IF_THERE = script("""
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('APPEND', KEYS[1], ARGV[1]) end
return false
""")

#: For a cluster. KEYS: a record. ARGV: what it must hold (empty: nothing), the new value, seconds to keep it.
#: Replies nothing, or what the record holds instead.
EXCHANGE = script("""
local known = redis.call('GET', KEYS[1]) or ''
if known ~= ARGV[1] then return known end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return false
""")

#: For a cluster. KEYS: an idempotency record, waiting reports. ARGV: the answered record, seconds to keep it. Replies
#: as DECIDE.
EXCHANGE_UNANSWERED = script("""
local known = redis.call('GET', KEYS[1])
if known and string.byte(known) == 65 then return known end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return redis.call('EXISTS', KEYS[2])
""")

SCRIPTS = (ADMIT, ADMIT_DECIDED, DECIDE, COMPACT, REPORT, APPEND, APPEND_IF_THERE, EXCHANGE, EXCHANGE_UNANSWERED)
