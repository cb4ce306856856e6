-- resty.timerng and resty.worker.events: timers with names, and what workers tell each other.
local name = ...
local type, pairs, setmetatable, tostring = type, pairs, setmetatable, tostring
local modules = {}

modules["resty.timerng"] = function()
  local timers, count = {}, 0
  timers.__index = timers

  function timers.new() return setmetatable({ jobs = {}, frozen = false }, timers) end
  function timers:start() return true end
  function timers:freeze()
    self.frozen = true
    return true
  end
  function timers:unfreeze()
    self.frozen = false
    return true
  end
  function timers:destroy()
    self.jobs = {}
    return true
  end

  local function add(self, name_, callback, delay, repeats, ...)
    if not name_ then
      count = count + 1
      name_ = "unnamed-" .. count
    end
    if self.jobs[name_] then
      return nil, "already exists timer"
    elseif type(callback) ~= "function" then
      return nil, "expected `callback` to be a function"
    end
    local job = { name = name_, runs = 0, last_err_msg = "", enabled = true }
    self.jobs[name_] = job
    -- A job that goes on when its time comes again waits for the next time.
    local function run(premature, ...)
      if self.jobs[name_] ~= job or self.frozen or not job.enabled or job.running then
        return
      end
      job.running = true
      local ok, err = pcall(callback, premature, ...)
      job.running, job.runs = false, job.runs + 1
      if not ok then
        job.last_err_msg = tostring(err)
        ngx.log(ngx.ERR, "[timer-ng] failed to run timer ", name_, ": ", tostring(err))
      end
    end
    local function fire(premature, ...)
      run(premature, ...)
      if not repeats then
        self.jobs[name_] = nil
      elseif not premature and self.jobs[name_] == job then
        ngx.timer.at(delay, fire, ...)
      end
    end
    local ok, err = ngx.timer.at(delay, fire, ...)
    if not ok then
      self.jobs[name_] = nil
      return nil, err
    end
    return name_
  end

  function timers:named_at(name_, delay, callback, ...) return add(self, name_, callback, delay, false, ...) end
  function timers:named_every(name_, delay, callback, ...) return add(self, name_, callback, delay, true, ...) end
  function timers:at(delay, callback, ...) return add(self, nil, callback, delay, false, ...) end
  function timers:every(delay, callback, ...) return add(self, nil, callback, delay, true, ...) end
  local function change(f)
    return function(self, name_)
      local job = self.jobs[name_]
      if not job then
        return nil, "timer not found"
      end
      f(self, job, name_)
      return true
    end
  end
  timers.run = change(function(_, job) job.enabled = true end)
  timers.pause = change(function(_, job) job.enabled = false end)
  timers.cancel = change(function(self, _, name_) self.jobs[name_] = nil end)
  function timers:is_managed(name_) return self.jobs[name_] ~= nil end
  function timers:set_debug() end
  function timers:stats()
    local all, running, waiting = {}, 0, 0
    for name_, job in pairs(self.jobs) do
      running, waiting = running + (job.running and 1 or 0), waiting + (job.running and 0 or 1)
      all[name_] = { name = name_, runtime = {}, stats = { runs = job.runs, last_err_msg = job.last_err_msg } }
    end
    return { sys = { running = running, pending = 0, waiting = waiting, total = running + waiting }, timers = all }
  end
  return timers
end

-- The functions of `kong.worker_events`, of which these are the former home.
local function events()
  local here = setmetatable({}, { __index = function(_, wanted) return kong.worker_events[wanted] end })
  function here.configure() return true end
  function here.event_list(source, ...)
    local list = { _source = source }
    for i = 1, select("#", ...) do
      local event = select(i, ...)
      list[event] = event
    end
    return setmetatable(list, { __index = function(_, event)
      error("event '" .. tostring(event) .. "' is an unknown event", 2)
    end })
  end
  return here
end
modules["resty.worker.events"], modules["resty.events.compat"] = events, events

return modules[name]()
