-- The server's time. Stands before the scripts that need it.

-- As `TIME` tells it, and in ms. A server that is out of memory tells it to a script that may then take more if `urgent`.
local function server_time(urgent)
  local time
  if is_blind() then
    -- It refuses the first write of a script if that may take memory, and no later one.
    if urgent then redis.call('PERSIST', KEYS[1]) end
    local ms = tonumber(string.match(redis.call('XADD', KEYS[#KEYS], 'MAXLEN', 1, '*', 't', ''), '^%d+'))
    time = {math.floor(ms / 1000), ms % 1000 * 1000}
  else
    time = redis.call('TIME')
  end
  return time[1] * 1000 + math.floor(time[2] / 1000), time
end
