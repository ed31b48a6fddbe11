-- One fill that is not waited for (R31): what `apply.lua` would do, with as few commands as can be.
--
-- KEYS 1 meta  2 log  3 the cache's hash  4 its expiry index
-- ARGV 1 incarnation  2 nonce  3 '1': fields expire natively  4 '1': the hash may have no expiry  5 cache  6 field
--      7 value  8 expires ms or ''  9 guard id  10 the same with zeros in front  11 guard nonce  12 bytes of the value that are
--      compared  13 name of the change, packed  14 longest log  15 seconds that an unused cache is kept  16 most changes listed
-- Answers {'OK', 0, id of the record or '', outcome}, {'INC', 0}, or {'LOG', 0} if the log takes no record, or is not
--      the one that was written here.
local known = redis.call('HMGET', KEYS[1], 'inc', 'h')
if known[1] ~= ARGV[1] then return {'INC', 0} end
if not find_end(known[2], ARGV[1]) then return {'LOG', 0} end
local cache, field, value, expires, guard, name = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[13]

-- Whether the key or its cache changed since the guard's position. What only looks like that counts, too: a fill may always
-- be dropped.
local function changed()
  local records = redis.call('XREVRANGE', KEYS[2], '+', guard, 'COUNT', ARGV[16] + 2)
  local first = records[#records]
  if not first or first[1] ~= guard or first[2][2] ~= ARGV[11] then
    return not is_unchanged(cache, guard, ARGV[11])
  end
  local purge = struct.pack('>I4', #cache) .. cache
  for i = 1, #records - 1 do
    local fields = records[i][2]
    local names = fields[6]
    if names == '' and fields[4] ~= '0' then return not is_unchanged(cache, guard, ARGV[11]) end
    if string.find(names, name, 1, true) or string.find(names, purge, 1, true) then return true end
  end
  return false
end

-- The record of a fill says in its field `d` which record was the newest that is not of a stored fill, with zeros in front so that
-- ids compare as strings do. Nothing but fills followed a guard that is not before that.
local last = newest[2][10] or padded(newest[1])
local outcome = 's'
if not (last <= ARGV[10] and redis.call('HSETNX', KEYS[3], field, value) == 1) then
  if not changed() then
    redis.call('HSET', KEYS[3], field, value)
  else
    local standing = redis.call('HGET', KEYS[3], field)
    local from = #value - ARGV[12] + 1
    if standing and #standing == #value and string.sub(standing, from) == string.sub(value, from) then
      return {'OK', 0, '', 'x'}
    end
    -- It lost, maybe against a set of another value: nobody knows which is newer (R6).
    redis.call('HDEL', KEYS[3], field)
    outcome = 'c'
  end
end

if outcome == 's' then
  if expires ~= '' and not (ARGV[3] == '1' and not redis.pcall('HPEXPIREAT', KEYS[3], expires, 'FIELDS', 1, field).err) then
    redis.call('ZADD', KEYS[4], expires, field)
    redis.call('EXPIRE', KEYS[4], ARGV[15])
  end
  -- Now and then is often enough: it is of a month.
  if ARGV[4] == '1' or string.byte(ARGV[2]) < 16 then redis.call('EXPIRE', KEYS[3], ARGV[15]) end
end

local id
if outcome == 's' then
  id = redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[14], '*', 'n', ARGV[2], 'c', 1, 'v', name, 't', 's', 'd', last)
else
  id = redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[14], '*', 'n', ARGV[2], 'c', 1, 'v', name, 't', 'd')
end
if type(id) == 'table' then
  redis.call('HDEL', KEYS[3], field)
  return {'LOG', 0}
end
note(ARGV[1], id, ARGV[2], {cache})
return {'OK', 0, id, outcome}
