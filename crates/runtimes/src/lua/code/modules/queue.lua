-- kong.tools.queue: entries that are handed on in batches, beside requests, until that has worked or is over.
local semaphore = require "ngx.semaphore"
local type, error, setmetatable, pairs, tostring, min = type, error, setmetatable, pairs, tostring, math.min

local DEFAULTS = { max_batch_size = 1, max_coalescing_delay = 1, max_entries = 10000, initial_retry_delay = 0.01,
  max_retry_time = 60, max_retry_delay = 60 }
local queue, queues = {}, {}
queue.__index = queue

local function log(level, self, text)
  kong.log[level]("[", self.log_tag or "queue", "] queue ", self.name, ": ", text)
end

local function drop_first(self)
  local entry = self.entries[self.first]
  self.entries[self.first], self.first = nil, self.first + 1
  self.bytes = self.bytes - (type(entry) == "string" and #entry or 0)
end

function queue:count() return self.last - self.first + 1 end

-- Hands a batch on, again and again until it has worked or its time is over.
local function deliver(self, batch)
  local began, delay = ngx.now(), self.initial_retry_delay
  while true do
    local ran, ok, err = pcall(self.handler, self.handler_conf, batch)
    if ran and ok then
      return
    end
    err = tostring(ran and err or ok)
    if ngx.now() - began > self.max_retry_time then
      return log("err", self, "could not send entries, giving up after " .. self.max_retry_time .. " seconds: " .. err)
    end
    log("warn", self, "handler could not process entries: " .. err)
    ngx.sleep(min(self.max_retry_delay, delay))
    delay = delay * 2
  end
end

local function run(_, self)
  while self:count() > 0 do
    local until_ = ngx.now() + self.max_coalescing_delay
    while self:count() < self.max_batch_size and ngx.now() < until_ and not ngx.worker.exiting() do
      self.came:wait(until_ - ngx.now())
    end
    local batch = {}
    while #batch < self.max_batch_size and self:count() > 0 do
      batch[#batch + 1] = self.entries[self.first]
      drop_first(self)
    end
    deliver(self, batch)
  end
  queues[self.key] = nil
end

-- When the worker ends, batches are handed on as they are.
local is_watching
local function watch_end()
  is_watching = is_watching or ngx.timer.at(31536000, function()
    for _, self in pairs(queues) do
      self.came:post()
    end
  end)
end

local function key_of(conf) return (ngx.ctx.workspace or "") .. "." .. conf.name end

local function found(conf, handler, handler_conf)
  local key = key_of(conf)
  local known = queues[key]
  if known then
    known.handler_conf = handler_conf
    return known
  end
  local made = { key = key, handler = handler, handler_conf = handler_conf, entries = {}, first = 1, last = 0,
    bytes = 0, came = semaphore.new() }
  for name, value in pairs(DEFAULTS) do
    made[name] = value
  end
  for name, value in pairs(conf) do
    made[name] = value
  end
  queues[key] = setmetatable(made, queue)
  watch_end()
  local ok, err = ngx.timer.at(0, run, made)
  if not ok then
    queues[key] = nil
    return nil, err
  end
  return made
end

function queue.enqueue(conf, handler, handler_conf, entry)
  if entry == nil then
    error("entry must be a non-nil Lua value", 2)
  elseif type(conf) ~= "table" or type(conf.name) ~= "string" then
    error("arg #1 (queue_conf) must be a table with a name", 2)
  elseif type(handler) ~= "function" then
    error("arg #2 (handler) must be a function", 2)
  end
  local self, err = found(conf, handler, handler_conf)
  if not self then
    return nil, err
  end
  local size = type(entry) == "string" and #entry or 0
  if self.max_bytes then
    if type(entry) ~= "string" then
      log("err", self, "queuing non-string entry to a queue that has queue.max_bytes set, capacity monitoring will "
        .. "not be correct")
    elseif size > self.max_bytes then
      log("err", self, "string to be queued is longer (" .. size .. " bytes) than the queue's max_bytes")
      return nil, "entry is too large"
    end
  end
  local dropped = 0
  local function is_full()
    return self:count() >= self.max_entries or self.max_bytes and self.bytes + size > self.max_bytes
  end
  while self:count() > 0 and is_full() do
    drop_first(self)
    dropped = dropped + 1
  end
  if dropped > 0 then
    log("err", self, "queue full, dropped " .. dropped .. " old entries")
  end
  self.last = self.last + 1
  self.entries[self.last], self.bytes = entry, self.bytes + size
  self.came:post()
  return true
end

function queue.exists(name) return queues[key_of({ name = name })] ~= nil end

function queue.is_full(conf)
  local self = queues[key_of(conf)]
  return self ~= nil and self:count() >= self.max_entries
end

function queue.can_enqueue(conf, entry)
  local self = queues[key_of(conf)]
  return not self or self:count() < self.max_entries
    and not (self.max_bytes and type(entry) == "string" and self.bytes + #entry > self.max_bytes)
end

-- What a plugin's configuration says of its queue, with a name and a mark for the log.
function queue.get_plugin_params(plugin, config, name)
  local params = {}
  for key, value in pairs(DEFAULTS) do
    params[key] = value
  end
  for key, value in pairs(config.queue or {}) do
    params[key] = value
  end
  params.name = name or kong.plugin.get_id() or plugin
  params.log_tag = plugin .. " plugin " .. tostring(kong.plugin.get_id())
  return params
end

return queue
