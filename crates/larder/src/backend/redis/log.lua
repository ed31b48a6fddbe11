-- The end of the log, and what `m` notes of each cache's last change (R29). Stands before the scripts that log.
--
-- KEYS 1 meta  2 log. The meta key has for each logged cache `l:<cache>`, the id of the last record that changed it, and
-- `h`: incarnation, nonce of the newest record, id of the record since which the notes are whole (with zeros in front), id of
-- the newest record.

-- An id with zeros in front, so that ids compare as strings do; what is none is later than all.
local function padded(id)
  local time, number = string.match(id or '', '^(%d+)-(%d+)$')
  if not time then return ':' end
  return string.rep('0', 20 - #time) .. time .. '-' .. string.rep('0', 20 - #number) .. number
end

-- The newest record; nil if there is none, or if it is older than the notes: then this is not the log that was written here.
-- Notes that end at another record are not whole: an older version went on with the log, or they were put back.
local newest, floor
local function find_end(notes, incarnation)
  newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if not newest then return nil end
  local nonce = newest[2][2]
  local own = notes and string.sub(notes, 1, 32) == incarnation
  if own and string.sub(notes, 33, 48) == nonce and string.sub(notes, 90) == newest[1] then
    floor = string.sub(notes, 49, 89)
  elseif own and #notes > 89 and padded(string.sub(notes, 90)) > padded(newest[1]) then
    return nil
  else
    floor = padded(newest[1])
  end
  return newest
end

-- Notes a record, and that it changed these caches.
local function note(incarnation, id, nonce, caches)
  local fields = {'h', incarnation .. nonce .. floor .. id}
  for _, cache in ipairs(caches) do
    fields[#fields + 1] = 'l:' .. cache
    fields[#fields + 1] = id
    if #fields >= 1000 then
      redis.call('HSET', KEYS[1], unpack(fields))
      fields = {'h', fields[2]}
    end
  end
  redis.call('HSET', KEYS[1], unpack(fields))
end

-- Whether nothing changed a cache after a position that may be too far back for the log to tell. The position is of the present
-- incarnation (if not, its id is before all others).
local reached = {}
local function is_unchanged(cache, id, nonce)
  local at = padded(id)
  local known = reached[id .. nonce]
  if known == nil then
    known = floor <= at and at <= padded(newest[1])
    if known then
      local record = redis.call('XRANGE', KEYS[2], id, id)[1]
      if record then
        known = record[2][2] == nonce
      else
        -- Only what was trimmed may be missing.
        known = at < padded(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][1])
      end
    end
    if known then
      -- A server that lost changes would not know that (R5).
      local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
      local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
      known = redis.call('HGET', KEYS[1], 'cert') == run .. '/' .. history
    end
    reached[id .. nonce] = known
  end
  if not known then return false end
  local last = redis.call('HGET', KEYS[1], 'l:' .. cache)
  return not last or padded(last) <= at
end
