-- inspect: values as text that shows what they are, in the form of the library of that name.
local rank = { number = 1, boolean = 2, string = 3, table = 4, ["function"] = 5, userdata = 6, thread = 7 }
local escapes = { ["\a"] = "\\a", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
  ["\v"] = "\\v", ["\127"] = "\\127" }

local function quoted(text)
  local mark = text:find('"', 1, true) and not text:find("'", 1, true) and "'" or '"'
  local escaped = text:gsub("\\", "\\\\"):gsub("[%c\127]", function(octet)
    return escapes[octet] or ("\\%d"):format(octet:byte())
  end)
  return mark .. (mark == '"' and escaped:gsub('"', '\\"') or escaped) .. mark
end

local function before(a, b)
  local kind, other = type(a), type(b)
  if kind == other and (kind == "string" or kind == "number") then
    return a < b
  end
  return (rank[kind] or 9) < (rank[other] or 9)
end

-- How often each table is met.
local function count(value, counts)
  if type(value) ~= "table" then
    return
  end
  counts[value] = (counts[value] or 0) + 1
  if counts[value] == 1 then
    count(getmetatable(value), counts)
    for key, inner in next, value do
      count(key, counts)
      count(inner, counts)
    end
  end
end

local function inspect(value, options)
  options = type(options) == "table" and options or {}
  local newline, step, deepest = options.newline or "\n", options.indent or "  ", options.depth or math.huge
  local out, numbers, last, counts = {}, {}, {}, {}
  count(value, counts)
  local function put(...)
    for i = 1, select("#", ...) do
      out[#out + 1] = (select(i, ...))
    end
  end
  local function number_of(one)
    local kind = type(one)
    if not numbers[one] then
      last[kind] = (last[kind] or 0) + 1
      numbers[one] = last[kind]
    end
    return tostring(numbers[one])
  end
  local show
  local function show_table(t, level)
    if counts[t] > 1 and numbers[t] then
      return put("<table ", number_of(t), ">")
    elseif level >= deepest then
      return put("{...}")
    end
    if counts[t] > 1 then
      put("<", number_of(t), ">")
    end
    put("{")
    local length, keys, line = 0, {}, newline .. step:rep(level + 1)
    while rawget(t, length + 1) ~= nil do
      length = length + 1
    end
    for key in next, t do
      if type(key) ~= "number" or key < 1 or key > length or key % 1 ~= 0 then
        keys[#keys + 1] = key
      end
    end
    table.sort(keys, before)
    for i = 1, length do
      put(i > 1 and ", " or " ")
      show(rawget(t, i), level + 1)
    end
    local comma = length > 0
    for _, key in ipairs(keys) do
      put(comma and "," or "", line)
      if type(key) == "string" and key:find("^[_%a][_%w]*$") then
        put(key)
      else
        put("[")
        show(key, level + 1)
        put("]")
      end
      put(" = ")
      show(rawget(t, key), level + 1)
      comma = true
    end
    local metatable = getmetatable(t)
    if type(metatable) == "table" then
      put(comma and "," or "", line, "<metatable> = ")
      show(metatable, level + 1)
    end
    if #keys > 0 or type(metatable) == "table" then
      put(newline, step:rep(level))
    elseif length > 0 then
      put(" ")
    end
    put("}")
  end
  function show(one, level)
    local kind = type(one)
    if kind == "string" then
      put(quoted(one))
    elseif kind == "table" then
      show_table(one, level)
    elseif kind == "number" or kind == "boolean" or kind == "nil" then
      put(tostring(one))
    else
      put("<", kind, " ", number_of(one), ">")
    end
  end
  show(value, 0)
  return table.concat(out)
end

return setmetatable({ inspect = inspect, KEY = {}, METATABLE = {}, _VERSION = "inspect.lua 3.1.0" }, {
  __call = function(_, ...) return inspect(...) end,
})
