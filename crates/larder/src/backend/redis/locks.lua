-- Everything that is done to locks.
--
-- KEYS 1 meta  2 locks: a hash of rows `<token> <fence> <until ms> <since ms> <owner>`  3 queue of the lock: a hash of
--      `<number> <last seen ms> <owner>` by token, and the last number under `#`
-- ARGV 1 what  2 deadline (ms)  then
--      acquire  name  token  owner  lease (ms)  '1': stand in line
--      release  name  token  lease (ms)
--      break    name  ''  lease (ms)
--      holder   name
--      distrust fence
--      renew    lease (ms), then for each lock: name  token  owner  fence  '1': still believed to be held
-- Answers {'LATE' | 'CERT', now} or {'OK', now, …}: acquire → fence or '', ms to wait at most; release, break → 1 or 0;
--      distrust → nothing; holder → token or ''; renew → a letter '1' or '0' for each.
local SEEN, CLAIM, RUBBISH = 3000, 2000, 60000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[2]) then return {'LATE', now} end

-- Whoever was promoted or restarted a moment ago must not grant anything before it is certified, so the script asks for
-- the identity itself (R5).
local known = redis.call('HMGET', KEYS[1], 'cert', 'born', 'fence')
local server, replication = redis.call('INFO', 'server'), redis.call('INFO', 'replication')
local cert = string.match(server, 'run_id:(%w+)') .. '/' .. string.match(replication, 'master_replid:(%w+)')
if known[1] ~= cert or not string.find(replication, 'role:master', 1, true) then return {'CERT', now} end
local born, last = tonumber(known[2]) or now, tonumber(known[3]) or 0
local base = string.sub(KEYS[1], 1, -2)

-- Locks are few and small, and must work when memory is full: this write is allowed then, and so those after it.
redis.call('PERSIST', KEYS[1])
-- The hash is never without this field: if it is gone, so were locks (R23).
if redis.call('HSETNX', KEYS[2], '', '') == 1 then
  born = now
  redis.call('HSET', KEYS[1], 'born', now)
end

local function read(name)
  local row = redis.call('HGET', KEYS[2], name)
  if not row then return nil end
  local token, fence, till, since, owner = string.match(row, '^(%x+) (%d+) (%d+) (%d+) (.*)$')
  return token and {token = token, fence = tonumber(fence), till = tonumber(till), since = tonumber(since), owner = owner}
end

local function write(name, row)
  redis.call('HSET', KEYS[2], name,
    string.format('%s %.0f %.0f %.0f ', row.token, row.fence, row.till, row.since) .. row.owner)
end

-- Crashed holders leave rows; a few are looked at with each grant.
local function sweep()
  local found = redis.call('HSCAN', KEYS[2], redis.call('HGET', KEYS[1], 'swept') or '0', 'COUNT', 8)
  for i = 1, #found[2], 2 do
    local row = found[2][i] ~= '' and read(found[2][i])
    if row and row.till + RUBBISH < now then redis.call('HDEL', KEYS[2], found[2][i]) end
  end
  redis.call('HSET', KEYS[1], 'swept', found[1])
end

local function grant(name, token, owner, lease)
  last = math.max(last + 1, time[1] * 1000000 + time[2])
  redis.call('HSET', KEYS[1], 'fence', string.format('%.0f', last))
  write(name, {token = token, fence = last, till = now + lease, since = now, owner = owner})
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
      local number, seen, owner = string.match(queue[i + 1], '^(%d+) (%d+) (.*)$')
      if not number or tonumber(seen) + SEEN < now then
        redis.call('HDEL', KEYS[3], queue[i])
      elseif not first or tonumber(number) < first.number then
        first = {token = queue[i], number = tonumber(number), owner = owner}
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
  redis.call('LPUSH', base .. 'w:' .. first.token, string.format('%.0f %.0f', fence, lease))
  redis.call('PEXPIRE', base .. 'w:' .. first.token, CLAIM)
end

local what, name, token = ARGV[1], ARGV[3], ARGV[4]
if what == 'acquire' then
  local owner, lease, queue = ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1'
  local row = read(name)
  -- A row from before the last loss may be an old one: another may have got the lock since.
  if row and row.token == token and row.since >= born then
    row.till = now + lease
    write(name, row)
    redis.call('HDEL', KEYS[3], token)
    return {'OK', now, string.format('%.0f', row.fence), 0}
  end
  local free_at = math.max(row and row.till or 0, born + lease)
  local waiting = redis.call('EXISTS', KEYS[3]) == 1
  if now >= free_at and not waiting then
    return {'OK', now, string.format('%.0f', grant(name, token, owner, lease)), 0}
  end
  if queue then
    local place = redis.call('HGET', KEYS[3], token)
    local number = place and string.match(place, '^(%d+) ') or redis.call('HINCRBY', KEYS[3], '#', 1)
    redis.call('HSET', KEYS[3], token, string.format('%.0f %.0f ', tonumber(number), now) .. owner)
    redis.call('PEXPIRE', KEYS[3], RUBBISH)
    -- What is pushed from now on was granted after this.
    redis.call('DEL', base .. 'w:' .. token)
  end
  if now >= free_at then
    local first = head()
    if not first or first.token == token then
      if not first then redis.call('DEL', KEYS[3]) end
      return {'OK', now, string.format('%.0f', grant(name, token, owner, lease)), 0}
    end
    hand_over(name, lease)
    free_at = now + math.min(lease, CLAIM)
  end
  return {'OK', now, '', free_at - now}
elseif what == 'release' or what == 'break' then
  local row = read(name)
  if what == 'release' then redis.call('HDEL', KEYS[3], token) end
  if not row or (what == 'release' and row.token ~= token) then return {'OK', now, 0} end
  redis.call('HDEL', KEYS[2], name)
  if now >= born + tonumber(ARGV[5]) and redis.call('EXISTS', KEYS[3]) == 1 then hand_over(name, tonumber(ARGV[5])) end
  return {'OK', now, row.till > now and 1 or 0}
elseif what == 'distrust' then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], '', '')
  redis.call('HSET', KEYS[1], 'born', now, 'fence', string.format('%.0f', math.max(last, tonumber(name))))
  return {'OK', now}
elseif what == 'holder' then
  local row = read(name)
  return {'OK', now, row and row.till > now and row.token or ''}
end

local lease, answers = tonumber(ARGV[3]), {}
for i = 4, #ARGV, 5 do
  local name, token, owner, fence = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local row = read(name)
  local believed = ARGV[i + 4] == '1'
  local held = row and row.token == token and (believed or row.since >= born)
  if not held and believed and now < born + lease and (not row or row.fence < fence) then
    -- The server lost the lock, or has an old row of it, and nobody got it since (R23).
    row, held = {token = token, fence = fence, since = now, owner = owner}, true
    if fence > last then
      last = fence
      redis.call('HSET', KEYS[1], 'fence', string.format('%.0f', fence))
    end
  end
  if held then
    row.till, row.since = now + lease, math.max(row.since, born)
    write(name, row)
  end
  answers[#answers + 1] = held and '1' or '0'
end
return {'OK', now, table.concat(answers)}
