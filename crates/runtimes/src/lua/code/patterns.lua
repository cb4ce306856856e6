-- string.find, match, gmatch and gsub: LuaJIT's own where a pattern has little to try in a text, and else others that do
-- the same and can be ended, as all code that takes too long.
local slot = ...
local native = slot.native
local real = { find = string.find, match = string.match, gmatch = string.gmatch, gsub = string.gsub }
local find, match, gmatch, gsub, sub = real.find, real.match, real.gmatch, real.gsub, string.sub
local concat, error, floor, select, tonumber, tostring, type = table.concat, error, math.floor, select, tonumber, tostring, type

-- How long texts may be, by patterns that have been seen.
local reach, known = {}, 0
local function reach_of(pattern)
  if known >= 1000 then
    reach, known = {}, 0
  end
  local most = native.pattern_reach(pattern)
  reach[pattern], known = most, known + 1
  return most
end

-- What LuaJIT's own functions refuse is left to them, who have the words for it.
local function is_long(text, pattern)
  if type(text) ~= "string" or type(pattern) ~= "string" then
    return false
  end
  return #text > (reach[pattern] or reach_of(pattern))
end

local function checked(ok, ...)
  if ok == nil then
    error((...), 3)
  end
  return ok, ...
end

local function seek(text, pattern, from, anchored, replaces)
  return native.find_pattern(text, pattern, from, anchored, replaces or false)
end

-- Where a search begins; nothing beyond the end.
local function place(text, init)
  init = init == nil and 1 or tonumber(init)
  local from = floor(init < 0 and init + #text or init - 1)
  from = from < 0 and 0 or from
  return from <= #text and from + 1 or nil
end

local function found(ok, first, last, ...)
  if ok then
    return first, last, ...
  end
  return nil
end

local function captured(text, ok, first, last, ...)
  if not ok then
    return nil
  elseif select("#", ...) == 0 then
    return sub(text, first, last)
  end
  return ...
end

local own = {}

function own.find(text, pattern, init)
  local from = place(text, init)
  if not from then
    return nil
  end
  return found(checked(seek(text, pattern, from, sub(pattern, 1, 1) == "^")))
end

function own.match(text, pattern, init)
  local from = place(text, init)
  if not from then
    return nil
  end
  return captured(text, checked(seek(text, pattern, from, sub(pattern, 1, 1) == "^")))
end

function own.gmatch(text, pattern)
  local from = 1
  local function go_on(ok, first, last, ...)
    if ok then
      from = last < first and last + 2 or last + 1
    end
    return captured(text, ok, first, last, ...)
  end
  return function()
    if from > #text + 1 then
      return nil
    end
    return go_on(checked(seek(text, pattern, from, false)))
  end
end

-- What a replacement that is a text says.
local function written(replacement, whole, ...)
  local pieces, at = {}, 1
  while true do
    local escape = find(replacement, "%", at, true)
    if not escape then
      pieces[#pieces + 1] = sub(replacement, at)
      return concat(pieces)
    end
    pieces[#pieces + 1] = sub(replacement, at, escape - 1)
    local said = sub(replacement, escape + 1, escape + 1)
    local digit = match(said, "^%d$") and tonumber(said)
    if not digit then
      pieces[#pieces + 1] = said == "" and "\0" or said
    elseif digit == 0 then
      pieces[#pieces + 1] = whole
    else
      local count = select("#", ...)
      if digit > count and not (digit == 1 and count == 0) then
        error("invalid capture index", 4)
      end
      local piece = count == 0 and whole or (select(digit, ...))
      if not piece then
        error("unfinished capture", 4)
      end
      pieces[#pieces + 1] = piece
    end
    at = escape + 2
  end
end

local function replaced(replacement, kind, whole, ...)
  local value
  if kind == "string" then
    return written(replacement, whole, ...)
  end
  for at = 1, kind == "table" and 1 or select("#", ...) do
    if (select(at, ...)) == false then
      error("unfinished capture", 4)
    end
  end
  if kind == "table" then
    value = select("#", ...) == 0 and replacement[whole] or select("#", ...) > 0 and replacement[(...)]
  elseif select("#", ...) == 0 then
    value = replacement(whole)
  else
    value = replacement(...)
  end
  if not value then
    return whole
  elseif type(value) ~= "string" and type(value) ~= "number" then
    error("invalid replacement value (a " .. type(value) .. ")", 4)
  end
  return value
end

function own.gsub(text, pattern, replacement, most)
  local kind = type(replacement)
  if kind == "number" then
    kind, replacement = "string", tostring(replacement)
  end
  most = most == nil and #text + 1 or tonumber(most)
  local anchored = sub(pattern, 1, 1) == "^"
  local pieces, from, count = {}, 1, 0
  local function take(ok, first, last, ...)
    if not ok then
      return nil
    end
    count = count + 1
    pieces[#pieces + 1] = sub(text, from, first - 1)
    pieces[#pieces + 1] = replaced(replacement, kind, sub(text, first, last), ...)
    return first, last
  end
  while count < most do
    local first, last = take(checked(seek(text, pattern, from, anchored, true)))
    if not first then
      break
    end
    from = last + 1
    if last < first then
      pieces[#pieces + 1] = sub(text, first, first)
      from = first + 1
    end
    if anchored or from > #text + 1 then
      break
    end
  end
  pieces[#pieces + 1] = sub(text, from)
  return concat(pieces), count
end

-- From how many octets on a text is not LuaJIT's to find.
local MANY = 65536

local function find_plain(text, part, init)
  local from = place(text, init)
  local at = from and native.find_plain(text, part, from)
  if at then
    return at, at + #part - 1
  end
  return nil
end

function string.find(text, pattern, init, plain)
  if plain and type(text) == "string" and #text > MANY and type(pattern) == "string" then
    return find_plain(text, pattern, init)
  elseif plain or not is_long(text, pattern) then
    return find(text, pattern, init, plain)
  end
  return own.find(text, pattern, init)
end

function string.match(text, pattern, init)
  if is_long(text, pattern) then
    return own.match(text, pattern, init)
  end
  return match(text, pattern, init)
end

function string.gmatch(text, pattern)
  if is_long(text, pattern) or type(pattern) == "string" and sub(pattern, 1, 1) == "^" then
    return own.gmatch(text, pattern)
  end
  return gmatch(text, pattern)
end

local KINDS = { string = true, number = true, table = true, ["function"] = true }
function string.gsub(text, pattern, replacement, most)
  if is_long(text, pattern) and KINDS[type(replacement)] then
    return own.gsub(text, pattern, replacement, most)
  end
  return gsub(text, pattern, replacement, most)
end

slot.own_patterns, slot.real_patterns = own, real
