-- lpeg: patterns as values. A pattern is a function that looks at a place of the subject and says where what it matches
-- ends; what it captures is kept as a list of nodes, whose values are made when all has matched.
local type, tostring, error, ipairs, pairs, select = type, tostring, error, ipairs, pairs, select
local setmetatable, getmetatable, unpack, concat = setmetatable, getmetatable, unpack, table.concat

local lpeg = { version = "1.1.0" }
local pattern = { __index = lpeg }

-- `match(state, place)` returns the place behind what matched, or nil. `size` is what it always takes, where known.
local function new(match, size) return setmetatable({ match_at = match, size = size }, pattern) end

local values_of

local function packed(...) return { n = select("#", ...), ... } end

-- Keeps what is captured from a place on, as long as it matches.
local function held(match, state, at)
  local count = #state.captures
  local after = match(state, at)
  if not after then
    for i = #state.captures, count + 1, -1 do
      state.captures[i] = nil
    end
  end
  return after
end

local function literal(text)
  local size = #text
  return new(function(state, at) return state.subject:sub(at, at + size - 1) == text and at + size or nil end, size)
end

local function any(count)
  if count >= 0 then
    return new(function(state, at) return at + count - 1 <= #state.subject and at + count or nil end, count)
  end
  return new(function(state, at) return at - count - 1 > #state.subject and at or nil end, 0)
end

local patt

-- A pattern made of a function, which is called when it comes to it.
local function at_match_time(inner, f)
  return new(function(state, at)
    local outer = state.captures
    state.captures = setmetatable({}, { outer = outer })
    local after = inner.match_at(state, at)
    local captured = state.captures
    state.captures = outer
    if not after then
      return nil
    end
    local given = values_of(state, captured)
    if #captured == 0 then
      given = { state.subject:sub(at, after - 1), n = 1 }
    end
    local found = packed(f(state.subject, after, unpack(given, 1, given.n)))
    local place = found[1]
    if place == nil or place == false then
      return nil
    elseif place == true then
      place = after
    elseif type(place) ~= "number" or place < after or place > #state.subject + 1 then
      error("invalid position returned by match-time capture", 0)
    end
    if found.n > 1 then
      outer[#outer + 1] = { kind = "values", values = found, first = 2, from = at, to = place }
    end
    return place
  end)
end

local function grammar(rules)
  local first = rules[1]
  local compiled = {}
  for name, rule in pairs(rules) do
    if name ~= 1 or type(first) ~= "string" and type(first) ~= "number" then
      compiled[name] = patt(rule)
    end
  end
  local start = compiled[1] and 1 or first
  if not compiled[start] then
    error("grammar has no initial rule", 3)
  end
  return new(function(state, at)
    local before = state.rules
    state.rules = compiled
    local after = compiled[start].match_at(state, at)
    state.rules = before
    return after
  end)
end

function patt(given)
  local kind = type(given)
  if kind == "table" then
    return getmetatable(given) == pattern and given or grammar(given)
  elseif kind == "string" then
    return literal(given)
  elseif kind == "number" then
    return any(given)
  elseif kind == "boolean" then
    return new(function(_, at) return given and at or nil end, 0)
  elseif kind == "function" then
    return at_match_time(literal(""), given)
  end
  error("pattern expected, got " .. kind, 3)
end
function lpeg.P(given) return patt(given) end

local function set(contains)
  return new(function(state, at)
    local octet = state.subject:sub(at, at)
    return octet ~= "" and contains[octet] and at + 1 or nil
  end, 1)
end
function lpeg.S(text)
  local contains = {}
  for i = 1, #text do
    contains[text:sub(i, i)] = true
  end
  return set(contains)
end
function lpeg.R(...)
  local contains = {}
  for _, range in ipairs { ... } do
    for octet = range:byte(1), range:byte(2) do
      contains[string.char(octet)] = true
    end
  end
  return set(contains)
end
function lpeg.utfR(from, to)
  return new(function(state, at)
    local text = state.subject:match("^[%z\1-\127\194-\244][\128-\191]*", at)
    if not text then
      return nil
    end
    local first = text:byte()
    local code = first < 128 and first or first < 224 and first - 192 or first < 240 and first - 224 or first - 240
    for i = 2, #text do
      code = code * 64 + text:byte(i) - 128
    end
    return code >= from and code <= to and at + #text or nil
  end)
end
function lpeg.V(name)
  return new(function(state, at)
    local rule = state.rules and state.rules[name]
    if not rule then
      error("rule '" .. tostring(name) .. "' undefined in given grammar", 0)
    end
    return rule.match_at(state, at)
  end)
end
function lpeg.B(given)
  local inner = patt(given)
  if not inner.size then
    error("pattern may not have fixed length", 2)
  end
  return new(function(state, at)
    return at - inner.size >= 1 and inner.match_at(state, at - inner.size) and at or nil
  end, 0)
end

local function sequence(a, b)
  local first, second = a.match_at, b.match_at
  return new(function(state, at)
    local between = first(state, at)
    return between and second(state, between)
  end, a.size and b.size and a.size + b.size)
end
local function choice(a, b)
  local first, second = a.match_at, b.match_at
  return new(function(state, at) return held(first, state, at) or held(second, state, at) end,
    a.size == b.size and a.size or nil)
end
local function absent(inner)
  return new(function(state, at)
    local count = #state.captures
    local found = held(inner.match_at, state, at)
    for i = #state.captures, count + 1, -1 do
      state.captures[i] = nil
    end
    return not found and at or nil
  end, 0)
end

function pattern.__mul(a, b) return sequence(patt(a), patt(b)) end
function pattern.__add(a, b) return choice(patt(a), patt(b)) end
function pattern.__sub(a, b) return sequence(absent(patt(b)), patt(a)) end
function pattern.__unm(a) return absent(patt(a)) end
function pattern.__len(a)
  local inner = patt(a)
  return new(function(state, at) return held(inner.match_at, state, at) and at or nil end, 0)
end
function pattern.__pow(a, count)
  local match = patt(a).match_at
  return new(function(state, at)
    local done = 0
    while count >= 0 or done < -count do
      local after = held(match, state, at)
      if not after then
        break
      elseif after == at then
        -- What takes nothing has matched as often as is wanted.
        done = math.max(done, count)
        break
      end
      at, done = after, done + 1
    end
    return done >= count and at or nil
  end)
end

-- Captures.
local function capture(kind, given, more)
  local inner = patt(given)
  return new(function(state, at)
    local outer = state.captures
    state.captures = setmetatable({}, { outer = outer })
    local after = inner.match_at(state, at)
    local nested = state.captures
    state.captures = outer
    if after then
      outer[#outer + 1] = { kind = kind, nested = nested, from = at, to = after, with = more }
    end
    return after
  end, inner.size)
end
function lpeg.C(given) return capture("simple", given) end
function lpeg.Cg(given, name) return capture(name == nil and "group" or "named", given, name) end
function lpeg.Cs(given) return capture("substitution", given) end
function lpeg.Ct(given) return capture("table", given) end
function lpeg.Cf(given, f) return capture("fold", given, f) end
function lpeg.Cmt(given, f) return at_match_time(patt(given), f) end
local function leaf(node)
  return new(function(state, at)
    local own = { kind = node.kind, values = node.values, first = 1, name = node.name, from = at, to = at }
    own.list, own.place = state.captures, #state.captures
    state.captures[#state.captures + 1] = own
    return at
  end, 0)
end
function lpeg.Cc(...) return leaf { kind = "values", values = { n = select("#", ...), ... } } end
function lpeg.Cp() return leaf { kind = "position" } end
function lpeg.Carg(number) return leaf { kind = "argument", name = number } end
function lpeg.Cb(name) return leaf { kind = "back", name = name } end
function pattern.__div(a, with)
  local kind = type(with)
  if kind ~= "string" and kind ~= "number" and kind ~= "table" and kind ~= "function" then
    error("unexpected " .. kind .. " as 2nd operand to '/'", 2)
  end
  return capture("by " .. kind, a, with)
end
function pattern.__mod(a, f) return capture("accumulator", a, f) end

local put

-- The values of nodes, in their order.
function values_of(state, nodes, from, to)
  local values = { n = 0 }
  for i = from or 1, to or #nodes do
    put[nodes[i].kind](state, nodes[i], values)
  end
  return values
end

local function push(values, value)
  values.n = values.n + 1
  values[values.n] = value
end

local function text_of(state, node) return state.subject:sub(node.from, node.to - 1) end

-- Those of what is nested, or all of the text where nothing is.
local function inner_values(state, node)
  local values = values_of(state, node.nested)
  if #node.nested == 0 then
    push(values, text_of(state, node))
  end
  return values
end

local function append(values, more, from)
  for i = from or 1, more.n or #more do
    push(values, more[i])
  end
end

put = {
  values = function(_, node, values) append(values, node.values, node.first) end,
  position = function(_, node, values) push(values, node.from) end,
  argument = function(state, node, values)
    if node.name > state.arguments.n then
      error("absent extra argument #" .. node.name, 0)
    end
    push(values, state.arguments[node.name])
  end,
  simple = function(state, node, values)
    push(values, text_of(state, node))
    append(values, values_of(state, node.nested))
  end,
  group = function(state, node, values) append(values, inner_values(state, node)) end,
  named = function() end,
  table = function(state, node, values)
    local made = {}
    for _, nested in ipairs(node.nested) do
      if nested.kind == "named" then
        made[nested.with] = inner_values(state, nested)[1]
      else
        local own = { n = 0 }
        put[nested.kind](state, nested, own)
        for i = 1, own.n do
          made[#made + 1] = own[i]
        end
      end
    end
    push(values, made)
  end,
  substitution = function(state, node, values)
    local parts, done = {}, node.from
    for _, nested in ipairs(node.nested) do
      local own = { n = 0 }
      put[nested.kind](state, nested, own)
      if own.n > 0 then
        parts[#parts + 1] = state.subject:sub(done, nested.from - 1)
        parts[#parts + 1] = tostring(own[1])
        done = nested.to
      end
    end
    parts[#parts + 1] = state.subject:sub(done, node.to - 1)
    push(values, concat(parts))
  end,
  fold = function(state, node, values)
    if #node.nested == 0 then
      error("no initial value for fold capture", 0)
    end
    local made = values_of(state, node.nested, 1, 1)[1]
    for i = 2, #node.nested do
      local own = values_of(state, node.nested, i, i)
      made = node.with(made, unpack(own, 1, own.n))
    end
    push(values, made)
  end,
  accumulator = function(state, node, values)
    if values.n == 0 then
      error("no previous value for accumulator capture", 0)
    end
    local own = inner_values(state, node)
    values[values.n] = node.with(values[values.n], unpack(own, 1, own.n))
  end,
  -- The last group of that name that is complete and stands before, here or around.
  back = function(state, node, values)
    local list, place = node.list, node.place
    while list do
      for i = place, 1, -1 do
        if list[i].kind == "named" and list[i].with == node.name then
          return append(values, inner_values(state, list[i]))
        end
      end
      list = (getmetatable(list) or {}).outer
      place = list and #list
    end
    error("back reference '" .. tostring(node.name) .. "' not found", 0)
  end,
  ["by string"] = function(state, node, values)
    local own = inner_values(state, node)
    push(values, (node.with:gsub("%%(.)", function(mark)
      if mark == "0" then
        return text_of(state, node)
      elseif mark:find("%d") then
        local value = own[tonumber(mark)]
        if value == nil then
          error("invalid capture index (" .. mark .. ")", 0)
        end
        return tostring(value)
      end
      return mark
    end)))
  end,
  ["by number"] = function(state, node, values)
    if node.with > 0 then
      push(values, inner_values(state, node)[node.with])
    end
  end,
  ["by table"] = function(state, node, values)
    local value = node.with[inner_values(state, node)[1]]
    if value ~= nil then
      push(values, value)
    end
  end,
  ["by function"] = function(state, node, values)
    local own = inner_values(state, node)
    append(values, packed(node.with(unpack(own, 1, own.n))))
  end,
}

-- Where the match ends, or what has been captured; nil where nothing matches.
function lpeg.match(given, subject, from, ...)
  local size = #subject
  local at = from or 1
  at = at < 0 and math.max(size + at + 1, 1) or at == 0 and 1 or math.min(at, size + 1)
  local state = { subject = subject, captures = {}, arguments = packed(...) }
  local after = patt(given).match_at(state, at)
  if not after then
    return nil
  end
  local values = values_of(state, state.captures)
  if values.n == 0 then
    return after
  end
  return unpack(values, 1, values.n)
end
function lpeg.type(value) return getmetatable(value) == pattern and "pattern" or nil end
function lpeg.setmaxstack() end
function lpeg.locale(into)
  into = into or {}
  local classes = { alnum = "%w", alpha = "%a", cntrl = "%c", digit = "%d", graph = "[%p%w]", lower = "%l",
    print = "[%p%w ]", punct = "%p", space = "%s", upper = "%u", xdigit = "%x" }
  for name, class in pairs(classes) do
    local contains = {}
    for octet = 0, 255 do
      contains[string.char(octet)] = string.char(octet):find(class) ~= nil
    end
    into[name] = set(contains)
  end
  return into
end

return lpeg
