"""The Lua scripts that run inside Redis, each atomic; they move bytes and never compute a feature.

Redis Cluster runs a script on one slot only: there serving/redis_store/cluster/ takes the same steps one after the
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

#: KEYS: idempotency record, stream, mark of the state, then one string per entity. ARGV: digest, due, seconds to keep
#: the record, stream limit, transaction id, event time, arrival time, body, the expected mark (empty: any), then
#: the event for each string. Replies {known record}, {false} when the stream is full, {false, false} when the mark is
#: another one, or {false, payment id, strings before it...}.
ADMIT = script(f"""
local known = redis.call('GET', KEYS[1])
if known then return {{known}} end
if ARGV[9] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[9] then return {{false, false}} end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[4]) then return {{false}} end
local reply, marks = {{false, false}}, {{}}
for i = 4, #KEYS do
  local old = redis.call('GET', KEYS[i])
  if old then
    redis.call('APPEND', KEYS[i], ARGV[i + 6])
    marks[i - 3] = string.sub(old, 1, 8) .. struct.pack('<I4', #old)
  else
    redis.call('SET', KEYS[i], '{_EMPTY}' .. ARGV[i + 6])
    marks[i - 3] = string.rep('\\0', 12)
  end
  reply[i - 1] = old
end
local id = redis.call('XADD', KEYS[2], '*', 'k', 'payment', 't', ARGV[5], 'e', ARGV[6], 'a', ARGV[7], 'b', ARGV[8])
redis.call('SET', KEYS[1], 'P' .. ARGV[1] .. ARGV[2] .. string.char(#KEYS - 3) .. table.concat(marks) .. id,
  'EX', ARGV[3])
reply[2] = id
return reply
""")

#: KEYS: idempotency record, stream, waiting reports, mark of the state, then one string per entity. ARGV: digest,
#: seconds to keep the record, stream limit, transaction id, event time, arrival time, body, body of the decision up to
#: the id of the payment, answer, case (may be empty), the mark that is expected (empty: any), then the event for each
#: string. Both steps in one, for a decision that was made without state. Replies as ADMIT, without strings, and with a
#: third value if reports wait for the payment.
ADMIT_DECIDED = script(f"""
local known = redis.call('GET', KEYS[1])
if known then return {{known}} end
if ARGV[11] ~= '' and redis.call('GET', KEYS[4]) ~= ARGV[11] then return {{false, false}} end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[3]) then return {{false}} end
for i = 5, #KEYS do
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

#: KEYS: reports of a payment, stream, mark of the state, then strings. ARGV: the reports it must still hold (empty:
#: none), the new ones, seconds to keep them, stream limit, kind, transaction id, event time, arrival time, body, the
#: mark that is expected (empty: any), then the events for each string. Replies {1, id}, {0, reports} when they changed,
#: {2} when the stream is full, or {3} when the mark is another.
REPORT = script("""
if ARGV[10] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[10] then return {3} end
local known = redis.call('GET', KEYS[1]) or ''
if known ~= ARGV[1] then return {0, known} end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[4]) then return {2} end
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('APPEND', KEYS[i], ARGV[i + 7]) end
end
local id = redis.call('XADD', KEYS[2], '*', 'k', ARGV[5], 't', ARGV[6], 'e', ARGV[7], 'a', ARGV[8], 'b', ARGV[9])
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return {1, id}
""")

#: KEYS: stream, stream of the lists. ARGV: stream limit, id of the list event that must be the last (empty: any),
#: event time, arrival time, body. Both streams get the event under one id, the second with the id of the list event
#: before it (`p`). Replies {1, id}, {0, id of the last} if that is another, or {2} when the stream is full.
LIST_EVENT = script("""
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return {2} end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local before = last[1] and last[1][1] or ''
if ARGV[2] ~= '' and before ~= '' and before ~= ARGV[2] then return {0, before} end
local id = redis.call('XADD', KEYS[1], '*', 'k', 'list', 't', '', 'e', ARGV[3], 'a', ARGV[4], 'b', ARGV[5])
local fields = {'p', before, 'e', ARGV[3], 'a', ARGV[4], 'b', ARGV[5]}
local added = redis.pcall('XADD', KEYS[2], id, unpack(fields))
if type(added) == 'table' and added.err then
  redis.call('DEL', KEYS[2])
  redis.call('XADD', KEYS[2], id, unpack(fields))
end
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

#: KEYS: workers, shares, rates (hashes of one slot). ARGV: id of the worker, its fraction so far, the fraction that it
#: may take at first, JSON of what it asks: name -> [bound, used, wanted, seconds to keep], JSON of its token buckets:
#: name -> [rate, tokens, used since its last exchange]. Replies the fraction and, name by name, what it holds of a
#: bound, or how many tokens it gets. The sum of all fractions is never above 1, nor what all hold of a bound above the
#: bound: a worker only takes what no other holds, and one without a record of a bound holds its fraction of it. A
#: worker that was not heard for 1.5 s is away and keeps what it has; after 300 s it is forgotten. `left` of a rate are
#: the tokens of the service, those that workers hold included: it fills at the rate, less what workers that are away
#: may use.
SHARE = script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me, first = ARGV[1], tonumber(ARGV[3])
local fractions, gone, live, away, others, alone = {}, {}, 1, 0, 0, true
local raw = redis.call('HGETALL', KEYS[1])
for i = 1, #raw, 2 do
  local seen, fraction = string.match(raw[i + 1], '^(%d+) (.+)$')
  if raw[i] == 'begun' then
    alone = now - seen < 1000
  elseif now - seen > 300000 then
    redis.call('HDEL', KEYS[1], raw[i])
  elseif raw[i] ~= me then
    fractions[raw[i]] = tonumber(fraction)
    others = others + fraction
    if now - seen > 1500 then
      away, gone[raw[i]] = away + fraction, true
    else
      live = live + 1
    end
  end
end
if #raw == 0 then redis.call('HSET', KEYS[1], 'begun', now .. ' 0') end
local fraction = math.max(0, math.min((1 - away) / live, 1 - others))
if alone then fraction = math.min(fraction, math.max(first, tonumber(ARGV[2]))) end
redis.call('HSET', KEYS[1], me, string.format('%.0f %.17g', now, fraction))
local asks, records, reply = cjson.decode(ARGV[4]), {}, {string.format('%.17g', fraction)}
raw = redis.call('HGETALL', KEYS[2])
for i = 1, #raw, 2 do records[raw[i]] = cjson.decode(raw[i + 1]) end
for name, ask in pairs(asks) do
  if not records[name] and ask[3] > fraction * ask[1] then
    records[name] = {bound = ask[1], held = {}, wanted = {}, ends = 0}
  end
end
for name, record in pairs(records) do
  local ask, bound, held, modest, over = asks[name], record.bound, 0, 0, false
  if ask then record.ends = now + ask[4] * 1000 end
  for id, part in pairs(fractions) do
    local own = part * bound
    local has, wants = record.held[id] or own, record.wanted[id] or own
    held, modest = held + has, modest + math.min(wants, own)
    over = over or math.max(has, wants) > own * (1 + 1e-9)
  end
  local used, wanted = 0, 0
  if ask then used, wanted = ask[2], ask[3] end
  local own = fraction * bound
  local has = math.max(used, math.min(wanted, math.max(own, bound - modest), bound - held))
  if now > record.ends or not (over or math.max(wanted, has) > own * (1 + 1e-9)) then
    redis.call('HDEL', KEYS[2], name)
  else
    record.held[me], record.wanted[me] = has, wanted
    redis.call('HSET', KEYS[2], name, cjson.encode(record))
    reply[#reply + 1], reply[#reply + 2] = name, string.format('%.17g', math.max(has, 0))
  end
end
for name, ask in pairs(cjson.decode(ARGV[5])) do
  local rate, has, used = ask[1], ask[2], ask[3]
  local known = redis.call('HGET', KEYS[3], name)
  local record = known and cjson.decode(known) or {left = 0, at = now, held = {}}
  local left, held, count, before = record.left, {}, 1, 0
  if not record.held[me] then left = left + has + used end
  for id, part in pairs(fractions) do
    local hold = 1 + 0.75 * part * rate
    held[id] = record.held[id] or hold
    if gone[id] then held[id] = math.max(held[id], hold) end
    if not known then left = left + hold end
    count, before = count + 1, before + held[id]
  end
  for id, tokens in pairs(record.held) do
    if id ~= me and not held[id] then left = left - tokens end
  end
  left = left + rate * math.min(1, 1.1 - away) * math.max(0, now - record.at) / 1000
  left = math.min(left, rate + count) - used
  local given = math.max(0, math.min(1 + 0.75 * fraction * rate - has, left - before - has))
  held[me] = has + given
  redis.call('HSET', KEYS[3], name, cjson.encode({left = left, at = now, held = held}))
  reply[#reply + 1], reply[#reply + 2] = name, string.format('%.17g', given)
end
redis.call('EXPIRE', KEYS[1], 600)
redis.call('EXPIRE', KEYS[2], 600)
redis.call('EXPIRE', KEYS[3], 600)
return reply
""")

#: KEYS: mark of the state, stream, the last moment of an older state. ARGV: the stream id that the caller saw last, the
#: mark of an older state. Replies the mark; where the stream ends before that id it writes the second one first.
MARK_OF = script("""
local function parts(id)
  local ms, count = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(count)
end
local mark, last = redis.call('GET', KEYS[1]), '0-0'
if not mark then return false end
if redis.call('EXISTS', KEYS[2]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
end
local ms, count = parts(last)
local seen_ms, seen_count = parts(ARGV[1])
if ms > seen_ms or (ms == seen_ms and count >= seen_count) then return mark end
redis.call('SET', KEYS[3], string.format('%.0f', ms), 'NX')
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
""")

SCRIPTS = (
    *(ADMIT, ADMIT_DECIDED, DECIDE, COMPACT, REPORT, LIST_EVENT, SHARE, MARK_OF),
    *(APPEND, APPEND_IF_THERE, EXCHANGE, EXCHANGE_UNANSWERED),
)
