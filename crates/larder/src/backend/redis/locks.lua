-- Everything that is done to locks. `lock/rules.rs` states the same rules, and both are tested against each other.
--
-- KEYS 1 meta  2 locks: a hash of rows `<token> <fence> <until ms> <since ms> <lease ms> <owner>`  3 queue of the lock: a
--      hash of `<number> <last seen ms> <owner>` by token, and the last number under `#`  4 the list that wakes who acquires
-- ARGV 1 what  2 deadline (ms)  then
--      acquire  name  token  owner  lease (ms)  '1': stand in line
--      release  name  token  lease (ms)
--      break    name  ''  lease (ms)
--      holder   name
--      distrust fence
--      renew    lease (ms), then for each lock: name  token  owner  fence  until when it is believed to be held (ms)
-- Answers {'LATE' | 'CERT', now}, {'TYPE', now, key} or {'OK', now, …}: acquire → fence, '' (another has it) or 'grace', ms to wait at most; release, break → 1 or 0;
--      distrust → nothing; holder → token or ''; renew → a letter '1' or '0' for each.
local SEEN, CLAIM, RUBBISH = 3000, 2000, 60000
local now, time = server_time(true)
if now > tonumber(ARGV[2]) then return {'LATE', now} end

-- Whoever was promoted or restarted a moment ago must not grant anything before it is certified, so the script asks for
-- the identity itself (R5).
local known = redis.call('HMGET', KEYS[1], 'cert', 'born', 'fence')
local cert, primary = identify()
if cert and not (known[1] == cert and primary) then return {'CERT', now} end
local base = string.sub(KEYS[1], 1, -2)

-- A script is not rolled back: what another program left in our places is found before anything is changed.
for k = 2, 3 do
  local found = redis.call('TYPE', KEYS[k]).ok
  if found ~= 'hash' and found ~= 'none' then return {'TYPE', now, KEYS[k]} end
end

-- A number that can have been written here: whole, and exact in a float.
local function number(text)
  local value = text and #text <= 16 and string.find(text, '^%d+$') and tonumber(text)
  return value and value <= 9007199254740991 and value or nil
end

-- Locks are few and small, and must work when memory is full: this write is allowed then, and so those after it.
redis.call('PERSIST', KEYS[1])
local born, last = number(known[2]), number(known[3]) or 0
local function lost_some()
  born = now
  redis.call('HSET', KEYS[1], 'born', now)
end
-- The hash is never without this field: if it is gone, so were locks (R23). A time in the future is from before the clock
-- was set back.
if redis.call('HSETNX', KEYS[2], '', '') == 1 or not born or born > now then lost_some() end

local function write(name, row)
  redis.call('HSET', KEYS[2], name,
    string.format('%s %.0f %.0f %.0f %.0f ', row.token, row.fence, row.till, row.since, row.lease) .. row.owner)
end

local function read(name)
  local text = redis.call('HGET', KEYS[2], name)
  if not text then return nil end
  local token, fence, till, since, lease, owner = string.match(text, '^(%x+) (%d+) (%d+) (%d+) (%d+) (.*)$')
  local row = {token = token, fence = number(fence), till = number(till), since = number(since), lease = number(lease)}
  if not (token and row.fence and row.till and row.since and row.lease) then
    -- Whose it was, nobody can say.
    redis.call('HDEL', KEYS[2], name)
    lost_some()
    return nil
  end
  row.owner = owner
  if row.since > now or row.till > now + row.lease then
    -- The clock was set back since: what is left of the lease is not known, but it is no more than all of it.
    row.since, row.till = math.min(row.since, now), math.min(row.till, now + row.lease)
    write(name, row)
  end
  return row
end

-- A named lock guards what is outside, where nobody asks for a proof; any other guards entries of a cache.
local function is_named(name)
  return string.sub(name, 1, 1) == 'n'
end

-- Crashed holders leave rows; a few are looked at with each grant.
local function sweep()
  local at = redis.call('HGET', KEYS[1], 'swept')
  if not at or #at > 20 or not string.find(at, '^%d+$') then at = '0' end
  local found = redis.pcall('HSCAN', KEYS[2], at, 'COUNT', 8)
  if found.err then found = {'0', {}} end
  for i = 1, #found[2], 2 do
    local row = found[2][i] ~= '' and read(found[2][i])
    if row and row.till + RUBBISH < now then redis.call('HDEL', KEYS[2], found[2][i]) end
  end
  redis.call('HSET', KEYS[1], 'swept', found[1])
end

local function grant(name, token, owner, lease)
  last = math.max(last + 1, time[1] * 1000000 + time[2])
  redis.call('HSET', KEYS[1], 'fence', string.format('%.0f', last))
  write(name, {token = token, fence = last, till = now + lease, since = now, lease = lease, owner = owner})
  redis.call('HDEL', KEYS[3], token)
  sweep()
  return last
end

-- The first in line who was seen lately; the others are gone.
local function head()
  local queue = redis.call('HGETALL', KEYS[3])
  local first
  for i = 1, #queue, 2 do
    if queue[i] ~= '#' then
      local place, seen, owner = string.match(queue[i + 1], '^(%d+) (%d+) (.*)$')
      place, seen = number(place), number(seen)
      if not place or not seen or seen > now or seen + SEEN < now or not string.find(queue[i], '^%x+$') then
        redis.call('HDEL', KEYS[3], queue[i])
      elseif not first or place < first.number then
        first = {token = queue[i], number = place, owner = owner}
      end
    end
  end
  return first
end

-- Gives a free lock to the first in line, for as long as it takes to say that it is alive, and wakes it with what it got.
local function hand_over(name, lease)
  local first = head()
  if not first then
    redis.call('DEL', KEYS[3])
    return
  end
  lease = math.min(lease, CLAIM)
  local fence = grant(name, first.token, first.owner, lease)
  -- Whoever sleeps on a key that is no list, or that only he may name, finds out by himself.
  redis.pcall('LPUSH', base .. 'w:' .. first.token, string.format('%.0f %.0f', fence, lease))
  redis.pcall('PEXPIRE', base .. 'w:' .. first.token, CLAIM)
end

-- Until when nobody new gets a lock (R23).
local function grace(name, lease)
  return is_named(name) and born + lease or 0
end

local what, name, token = ARGV[1], ARGV[3], ARGV[4]
if what == 'acquire' then
  local owner, lease, queue = ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1'
  local row = read(name)
  -- A row from before the last loss may be an old one: another may have got the lock since.
  if row and row.token == token and row.since >= born then
    row.till, row.lease = now + lease, lease
    write(name, row)
    redis.call('HDEL', KEYS[3], token)
    return {'OK', now, string.format('%.0f', row.fence), 0}
  end
  local held = row and row.since >= born and row.till > now
  local free_at = math.max(row and (is_named(name) or row.since >= born) and row.till or 0, grace(name, lease))
  local waiting = redis.call('EXISTS', KEYS[3]) == 1
  if now >= free_at and not waiting then
    return {'OK', now, string.format('%.0f', grant(name, token, owner, lease)), 0}
  end
  if queue then
    local place = redis.call('HGET', KEYS[3], token)
    place = place and number(string.match(place, '^(%d+) '))
    if not place then
      place = (number(redis.call('HGET', KEYS[3], '#')) or 0) + 1
      redis.call('HSET', KEYS[3], '#', string.format('%.0f', place))
    end
    redis.call('HSET', KEYS[3], token, string.format('%.0f %.0f ', place, now) .. owner)
    redis.call('PEXPIRE', KEYS[3], RUBBISH)
    -- What is pushed from now on was granted after this.
    redis.call('DEL', KEYS[4])
  end
  if now >= free_at then
    local first = head()
    if not first or first.token == token then
      if not first then redis.call('DEL', KEYS[3]) end
      return {'OK', now, string.format('%.0f', grant(name, token, owner, lease)), 0}
    end
    hand_over(name, lease)
    free_at, held = now + math.min(lease, CLAIM), true
  end
  return {'OK', now, held and '' or 'grace', free_at - now}
elseif what == 'release' or what == 'break' then
  local row = read(name)
  if what == 'release' then redis.call('HDEL', KEYS[3], token) end
  if not row or (what == 'release' and row.token ~= token) then return {'OK', now, 0} end
  redis.call('HDEL', KEYS[2], name)
  if now >= grace(name, tonumber(ARGV[5])) and redis.call('EXISTS', KEYS[3]) == 1 then hand_over(name, tonumber(ARGV[5])) end
  return {'OK', now, row.till > now and 1 or 0}
elseif what == 'distrust' then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], '', '')
  lost_some()
  redis.call('HSET', KEYS[1], 'fence', string.format('%.0f', math.max(last, tonumber(name))))
  return {'OK', now}
elseif what == 'holder' then
  local row = read(name)
  return {'OK', now, row and row.till > now and row.token or ''}
end

local lease, answers = tonumber(ARGV[3]), {}
for i = 4, #ARGV, 5 do
  local name, token, owner, fence = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local row = read(name)
  -- A cache lock from before a loss is over: another may have got it meanwhile, and this server would not know.
  local reclaims = now < tonumber(ARGV[i + 4]) and is_named(name)
  local held = row and row.token == token and (reclaims or row.since >= born)
  if not held and reclaims and now < born + lease and (not row or (row.since < born and row.fence < fence)) then
    -- The server lost the lock, or has an old row of it, and nobody got it since (R23).
    row, held = {token = token, fence = fence, since = now, lease = lease, owner = owner}, true
    if fence > last then
      last = fence
      redis.call('HSET', KEYS[1], 'fence', string.format('%.0f', fence))
    end
  end
  if held then
    row.till, row.since, row.lease = now + lease, math.max(row.since, born), lease
    write(name, row)
  end
  answers[#answers + 1] = held and '1' or '0'
end
return {'OK', now, table.concat(answers)}
