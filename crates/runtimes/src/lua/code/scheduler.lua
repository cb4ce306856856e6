-- Coroutines that the gateway resumes, and protected calls that let a phase end.
--
-- Code of plugins runs in a coroutine. Where it has to wait, it yields `WAIT` and what for; that passes through the
-- coroutines of its own, if it has any, up to the gateway, which resumes it with what has come of it.
local slot = ...
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local real_pcall, real_xpcall = pcall, xpcall
local error, remove, select, tostring, type, unpack = error, table.remove, select, tostring, type, unpack or table.unpack

local WAIT, DONE, SERVED, FAILED = {}, {}, {}, {}

-- What phase it is (`at`), and of which plugin (`own`); what code has kept (`kong.ctx`, `ngx.ctx`) is looked for when it
-- is asked for. `at.asks` says whether there is an exchange to ask, or `at.other` in its place.
slot.at, slot.own = { bit = 0, name = "init", asks = false, may_wait = false }, {}

local entered, owner = {}, {}
function slot.enter(phase, instance, plugin_id, context, other, is_plugin, is_lent, plugin_name, known)
  entered.bit, entered.name, entered.context = phase.bit, phase.name, phase.context
  entered.may_wait = is_plugin and phase.may_wait
  entered.other, entered.asks = other, is_lent or other ~= nil
  owner.number, owner.id, owner.name = instance, plugin_id, plugin_name or known and known.name
  slot.at, slot.own, slot.kept, slot.over = entered, owner, context or false, false
end

function slot.new_context()
  return { shared = setmetatable({}, slot.of_plugins), plugins = {}, ngx_ctx = setmetatable({}, slot.of_exchange) }
end

local function kept()
  local context = rawget(slot, "kept")
  if not context then
    context = slot.native.context()
    slot.kept = context
  end
  return context
end

slot.all_kept = kept

local lazily = { shared = function() return kept().shared end, ngx_ctx = function() return kept().ngx_ctx end }

function lazily.plugin()
  local plugins = kept().plugins
  local number = slot.own.number
  local own = plugins[number]
  if not own then
    own = {}
    plugins[number] = own
  end
  return own
end

-- What code puts into `kong.ctx` itself lasts as long as the request, too.
function slot.set_kept(name, value)
  local all = kept()
  if name == "plugin" then
    all.plugins[slot.own.number] = value
  elseif name == "core" then
    slot.set_ngx_ctx(value)
  elseif name == "shared" then
    local plain = type(value) == "table" and not getmetatable(value)
    all.shared = plain and setmetatable(value, slot.of_plugins) or value
  else
    all.others = all.others or {}
    all.others[name] = value
  end
end

function slot.get_kept(name)
  local others = kept().others
  return others and others[name]
end

function slot.set_ngx_ctx(value)
  if type(value) == "table" and not getmetatable(value) then
    setmetatable(value, slot.of_exchange)
  end
  kept().ngx_ctx = value
end

setmetatable(slot, { __index = function(_, name)
  local find = lazily[name]
  return find and find()
end })

-- A phase that was answered, or has taken too long, is over: no protected call goes on after that.
local function checked(...)
  if slot.over then
    error("the phase is over", 0)
  end
  return ...
end

-- Errors of the gateway's own functions are texts, too.
local function plain(ok, ...)
  if not ok and type((...)) == "userdata" then
    return ok, slot.native.words((...)) or (...)
  end
  return ok, ...
end

function pcall(...) return checked(plain(real_pcall(...))) end

-- What ends code is raised from a hook, and no hook runs within the handler that this calls: code could go on there for
-- ever.
function xpcall(f, handler, ...)
  if type(handler) ~= "function" then
    return checked(plain(real_xpcall(f, handler, ...)))
  end
  local function unless_over(...)
    if slot.over then
      return ...
    end
    return handler(...)
  end
  return checked(plain(real_xpcall(f, unless_over, ...)))
end

local function passed(co, ok, mark, ...)
  if ok and mark == WAIT then
    return passed(co, resume(co, yield(WAIT, ...)))
  end
  return checked(plain(ok, mark, ...))
end

function coroutine.resume(co, ...) return passed(co, resume(co, ...)) end

-- Coroutines that the run time has made: phases, and light threads.
local of_phases, of_threads = setmetatable({}, { __mode = "k" }), nil
local function of_phase(f)
  local co = create(f)
  of_phases[co] = true
  return co
end

-- Who yields to nobody lets others go on, and comes back.
function coroutine.yield(...)
  local co = coroutine.running()
  if co and (of_phases[co] or of_threads[co]) and slot.at.may_wait then
    slot.wait("yield")
    return
  end
  return yield(...)
end

local function values(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end

function coroutine.wrap(f)
  local co = create(f)
  return function(...) return values(passed(co, resume(co, ...))) end
end

-- What has come of a wait: values, or an error, which is raised where it was waited for.
local function arrived(mark, ...)
  if mark == FAILED then
    error((...), 0)
  end
  return checked(mark, ...)
end

-- What waits is asked for by name; the gateway's answer is what `slot.wait` returns.
slot.wait_here = false

function slot.wait(...)
  if slot.wait_here then
    -- On a thread of its own, code waits without letting others go on.
    return slot.wait_here(...)
  end
  if not slot.at.may_wait then
    error("API disabled in the context of " .. tostring(slot.at.context), 3)
  end
  return arrived(yield(WAIT, ...))
end

local idle = {}

-- Calls itself anew with what it is resumed with.
local function loop(f, ...) return loop(yield(DONE, f(...))) end

-- Coroutines that run phases of instances, whose results nobody wants: the one that is taken first, and others.
local spare
local spares = {}
local function serve(f, handler, config)
  local yield, SERVED = yield, SERVED
  while true do
    f(handler, config)
    f, handler, config = yield(SERVED)
  end
end

-- Nothing, when the coroutine has come to an end; else the coroutine and what it waits for.
local function outcome(co, ok, mark, ...)
  if not ok then
    error(mark, 0)
  end
  if mark == WAIT then
    return co, ...
  end
  if mark == DONE then
    if #idle < 64 then
      idle[#idle + 1] = co
    end
    return nil, ...
  end
  if mark == SERVED then
    if not spare then
      spare = co
    elseif #spares < 64 then
      spares[#spares + 1] = co
    end
    return
  end
  if coroutine.status(co) ~= "dead" then
    error("attempt to yield outside of a coroutine", 0)
  end
end

function slot.begin(f, ...)
  local co = remove(idle) or of_phase(loop)
  return outcome(co, resume(co, f, ...))
end

-- Code whose first run may return the function that is meant: that is what runs from then on.
function slot.once(chunk)
  local meant
  return function()
    if meant then
      return meant()
    end
    local returned = chunk()
    meant = type(returned) == "function" and returned or chunk
    if meant == returned then
      return meant()
    end
  end
end

-- The instances of plugins that this worker has met, by their places.
local instances = {}
slot.instances = instances
-- Sets in their configurations.
slot.of_sets = { __index = function(set, value)
  for place, member in ipairs(set) do
    if member == value then
      return place
    end
  end
end }

local function served(co, ok, mark, ...)
  if ok and mark == SERVED and not spare then
    spare = co
    return
  end
  return outcome(co, ok, mark, ...)
end

-- What runs a phase. A handler that has asked at its beginning which subsystem it is for is there once for each, as in
-- Kong.
local function nothing() end
local function found(own, name)
  local f, of_streams = own.handler[name] or nothing, own.of_streams
  if of_streams and (name == "preread" or name == "log") then
    local of_http, of_stream = f, of_streams[name] or nothing
    f = function(handler, config)
      if slot.subsystem() == "stream" then
        return of_stream(of_streams, config)
      end
      return of_http(handler, config)
    end
  end
  own[name] = f
  return f
end

-- What runs a phase of an instance, by its place, for the exchange that is lent. It is what each request runs, so that it
-- does the least: only what may wait gets a coroutine.
function slot.runner(phase)
  local name, has_frame = phase.name, phase.has_frame
  if phase.may_wait then
    return function(place)
      local own, s = instances[place], slot
      s.at = phase
      s.own = own
      s.kept = false
      s.over = false
      local co = spare
      if co then
        spare = nil
      else
        co = remove(spares) or of_phase(serve)
      end
      return served(co, resume(co, own[name] or found(own, name), own.handler, own.config))
    end
  end
  return function(place)
    local own, s = instances[place], slot
    s.at = phase
    s.own = own
    s.kept = false
    s.over = false
    local f = own[name] or found(own, name)
    if has_frame then
      local data, kind, status = slot.frame()
      f(own.handler, own.config, kind, data, status)
      return
    end
    f(own.handler, own.config)
  end
end

function slot.go_on(co, ...) return outcome(co, resume(co, ...)) end

function slot.fail(co, message) return outcome(co, resume(co, FAILED, message)) end

-- Coroutines that wait for one another: who waits for `park` with a number goes on when that number is woken.
local parked = 0

-- Has the content of the request read, where it is still with the client; who cannot wait for it is told so. Others
-- are asked instead of the exchange, or nobody, where there is none.
local demand = slot.native.ask("request.demand")
function slot.receive()
  if slot.at.other == nil and slot.at.asks and demand(parked + 1) then
    parked = parked + 1
    slot.wait("park", parked)
    demand()
  end
end

-- Waits for what is asked for with a number that wakes this coroutine, if it has to be waited for.
function slot.wait_for(ask)
  parked = parked + 1
  local number = parked
  local asked = ask(number)
  if asked == true then
    slot.wait("park", number)
  end
  return asked
end

-- Light threads (ngx.thread): coroutines that run beside the one that has spawned them, in the same phase.
local threads = setmetatable({}, { __mode = "k" })
local thread = {}
of_threads = threads

local function finished(t, ok, ...)
  t.alive, t.result = false, { n = select("#", ...) + 1, ok, ... }
  for number in pairs(t.waiters) do
    slot.native.wake(number)
  end
end

local function started(t, ok, co, ...)
  if not ok then
    finished(t, false, co)
  elseif co then
    slot.started[#slot.started + 1] = { co, ... }
    slot.native.started()
  end
end

local function body(t, f, arguments)
  finished(t, real_pcall(f, unpack(arguments, 1, arguments.n)))
end

function thread.spawn(f, ...)
  if not slot.at.may_wait then
    error("API disabled in the context of " .. tostring(slot.at.context), 2)
  elseif type(f) ~= "function" then
    error("bad argument #1 to 'spawn' (function expected, got " .. type(f) .. ")", 2)
  end
  local t = { alive = true, waiters = {} }
  local co = create(function() body(t, f, t.arguments) end)
  t.arguments = { n = select("#", ...), ... }
  threads[co] = t
  started(t, real_pcall(outcome, co, resume(co)))
  return co
end

local function gone(list)
  for i = 1, #list do
    local t = threads[list[i]]
    if t and not t.alive and not t.waited then
      t.waited = true
      return t.result
    end
  end
end

function thread.wait(...)
  local list = { ... }
  local result = gone(list)
  while not result do
    parked = parked + 1
    local number = parked
    for i = 1, #list do
      local t = threads[list[i]]
      if not t or t.waited then
        return nil, "already waited or killed"
      end
      t.waiters[number] = true
    end
    slot.wait("park", number)
    for i = 1, #list do
      threads[list[i]].waiters[number] = nil
    end
    result = gone(list)
  end
  return unpack(result, 1, result.n)
end

function thread.kill(co)
  local t = threads[co]
  if not t or not t.alive then
    return nil, t and t.killed and "already waited or killed" or "already terminated"
  end
  t.alive, t.waited, t.killed = false, true, true
  return 1
end

function slot.is_killed(co) return threads[co] ~= nil and threads[co].killed == true end

-- A semaphore (ngx.semaphore) for coroutines of one worker.
local semaphore = {}
semaphore.__index = semaphore

function semaphore.new(count)
  if count and count < 0 then
    error("no negative number", 2)
  end
  return setmetatable({ free = count or 0, first = 1, last = 0, queue = {} }, semaphore)
end

function semaphore:post(count)
  self.free = self.free + (count or 1)
  local wake = self.free
  while wake > 0 and self.first <= self.last do
    local number = self.queue[self.first]
    self.queue[self.first], self.first = nil, self.first + 1
    if number then
      wake = wake - 1
      slot.native.wake(number)
    end
  end
  return true
end

function semaphore:wait(seconds)
  local until_ = slot.native.monotonic() + (seconds or 0)
  while self.free <= 0 do
    local left = until_ - slot.native.monotonic()
    if left <= 0 then
      -- As OpenResty: who has waited gets another value than who would not.
      if (seconds or 0) > 0 then
        return false, "timeout"
      end
      return nil, "timeout"
    end
    parked = parked + 1
    local number = parked
    self.last = self.last + 1
    local place = self.last
    self.queue[place] = number
    if not slot.wait("park", number, left) and place >= self.first then
      self.queue[place] = false
    end
  end
  self.free = self.free - 1
  return true
end

function semaphore:count()
  local waiting = 0
  for i = self.first, self.last do
    waiting = waiting + (self.queue[i] and 1 or 0)
  end
  return self.free - waiting
end

slot.thread, slot.semaphore = thread, semaphore
