-- resty.limit.*: how often, and how many at once, in memory that the workers share.
local name = ...
local floor, max, abs, tonumber, setmetatable = math.floor, math.max, math.abs, tonumber, setmetatable
local modules = {}

local function class()
  local limiter = {}
  limiter.__index = limiter
  return limiter
end

local function dict_of(zone) return ngx.shared[zone] end

modules["resty.limit.count"] = function()
  local count = class()
  function count.new(zone, limit, window)
    local dict = dict_of(zone)
    if not dict then
      return nil, "shared dict not found"
    end
    return setmetatable({ dict = dict, limit = limit, window = window }, count)
  end
  function count:incoming(key, commit)
    local left, err
    if commit then
      left, err = self.dict:incr(key, -1, self.limit, self.window)
      if not left then
        return nil, err
      end
    else
      left = (self.dict:get(key) or self.limit) - 1
    end
    if left < 0 then
      return nil, "rejected"
    end
    return 0, left
  end
  function count:uncommit(key)
    local left, err = self.dict:incr(key, 1)
    if not left then
      return nil, err == "not found" and self.limit or err
    end
    return left
  end
  return count
end

modules["resty.limit.req"] = function()
  local req = class()
  function req.new(zone, rate, burst)
    local dict = dict_of(zone)
    if not dict then
      return nil, "shared dict not found"
    end
    return setmetatable({ dict = dict, rate = rate * 1000, burst = burst * 1000 }, req)
  end
  -- How much there was too much, in thousandths of a request, and when.
  local function kept(self, key)
    local excess, last = (self.dict:get(key) or ""):match("^(%S+) (%S+)$")
    return tonumber(excess), tonumber(last)
  end
  function req:incoming(key, commit)
    local now = floor(ngx.now() * 1000)
    local excess, last = kept(self, key)
    if excess then
      excess = max(excess - self.rate * abs(now - last) / 1000 + 1000, 0)
      if excess > self.burst then
        return nil, "rejected"
      end
    else
      excess = 0
    end
    if commit then
      self.dict:set(key, ("%.3f %d"):format(excess, now))
    end
    return excess / self.rate, excess / 1000
  end
  function req:uncommit(key)
    local excess, last = kept(self, key)
    if not excess then
      return nil, "not found"
    end
    self.dict:set(key, ("%.3f %d"):format(max(excess - 1000, 0), last))
    return true
  end
  function req:set_rate(rate) self.rate = rate * 1000 end
  function req:set_burst(burst) self.burst = burst * 1000 end
  return req
end

modules["resty.limit.conn"] = function()
  local conn = class()
  function conn.new(zone, most, burst, delay)
    local dict = dict_of(zone)
    if not dict then
      return nil, "shared dict not found"
    end
    return setmetatable({ dict = dict, max = most, burst = burst, unit_delay = delay }, conn)
  end
  function conn:incoming(key, commit)
    self.committed = false
    local count, err
    if commit then
      count, err = self.dict:incr(key, 1, 0)
      if not count then
        return nil, err
      end
    else
      count = (self.dict:get(key) or 0) + 1
    end
    if count > self.max + self.burst then
      if commit then
        self.dict:incr(key, -1)
      end
      return nil, "rejected"
    end
    self.committed = commit == true
    return count > self.max and self.unit_delay * floor((count - 1) / self.max) or 0, count
  end
  function conn:is_committed() return self.committed == true end
  function conn:leaving(key, latency)
    local count, err = self.dict:incr(key, -1)
    if not count then
      return nil, err
    end
    if latency then
      self.unit_delay = (latency + self.unit_delay) / 2
    end
    return count
  end
  function conn:uncommit(key) return self.dict:incr(key, -1) end
  function conn:set_conn(most) self.max = most end
  function conn:set_burst(burst) self.burst = burst end
  return conn
end

modules["resty.limit.traffic"] = function()
  return { combine = function(limiters, keys, states)
    local last, longest = #limiters, 0
    for i = 1, last do
      local delay, state = limiters[i]:incoming(keys[i], i == last)
      if not delay then
        return nil, state
      end
      if states then
        states[i] = state
      end
      longest = max(longest, delay)
    end
    for i = 1, last - 1 do
      local delay, err = limiters[i]:incoming(keys[i], true)
      if not delay then
        limiters[last]:uncommit(keys[last])
        for j = 1, i - 1 do
          limiters[j]:uncommit(keys[j])
        end
        return nil, err
      end
    end
    return longest
  end }
end

return modules[name]()
