-- What stands in for parts of Penlight where it is not installed: texts, `pl.pretty`, `pl.utils`, files.
local name, slot = ...
local type, tostring, pairs, ipairs, error, select = type, tostring, pairs, ipairs, error, select
local modules = {}

modules["pl.utils"] = function()
  local utils = { unpack = unpack, pack = function(...) return { n = select("#", ...), ... } end, stdmt = {} }
  -- Parts of a text between what a pattern finds (blanks, if none is given).
  function utils.split(text, pattern, plain, most)
    local parts, at = {}, 1
    pattern = pattern or "%s+"
    if pattern == "" then
      return { text }
    end
    while true do
      local from, to = text:find(pattern, at, plain)
      if not from or most and #parts >= most - 1 then
        break
      end
      parts[#parts + 1], at = text:sub(at, from - 1), to + 1
    end
    local last = text:sub(at)
    if last ~= "" then
      parts[#parts + 1] = last
    end
    return #parts == 1 and parts[1] == "" and {} or parts
  end
  function utils.splitv(text, pattern, plain, most)
    return unpack(utils.split(text, pattern, plain, most))
  end
  function utils.choose(condition, first, second) return condition and first or not condition and second or nil end
  function utils.is_type(value, kind)
    if type(kind) == "string" then
      return type(value) == kind
    end
    return getmetatable(value) == kind
  end
  function utils.is_callable(value)
    return type(value) == "function" or (getmetatable(value) or {}).__call ~= nil
  end
  function utils.escape(text) return (text:gsub("[%-%.%+%[%]%(%)%$%^%%%?%*]", "%%%1")) end
  function utils.assert_arg(place, value, kind, verify, message, level)
    if type(value) ~= kind then
      error(("argument %d expected a '%s' got a '%s'"):format(place, kind, type(value)), level or 2)
    elseif verify and not verify(value) then
      error(("argument %d: '%s' %s"):format(place, tostring(value), message or "failed verification"), level or 2)
    end
    return value
  end
  function utils.assert_string(place, value) return utils.assert_arg(place, value, "string", nil, nil, 3) end
  function utils.raise(message) return nil, message end
  function utils.printf(format, ...) print(format:format(...)) end
  function utils.readfile(path)
    local file, err = io.open(path, "rb")
    if not file then
      return nil, err
    end
    local text = file:read("*a")
    file:close()
    return text
  end
  function utils.readlines(path)
    local text, err = utils.readfile(path)
    return text and require("pl.stringx").splitlines(text), err
  end
  -- Operators by their signs, and functions as `|x| x + 1`.
  local OPERATORS = {
    ["+"] = function(a, b) return a + b end, ["-"] = function(a, b) return a - b end,
    ["*"] = function(a, b) return a * b end, ["/"] = function(a, b) return a / b end,
    ["%"] = function(a, b) return a % b end, [".."] = function(a, b) return a .. b end,
    ["<"] = function(a, b) return a < b end, [">"] = function(a, b) return a > b end,
    ["<="] = function(a, b) return a <= b end, [">="] = function(a, b) return a >= b end,
    ["=="] = function(a, b) return a == b end, ["~="] = function(a, b) return a ~= b end,
    ["#"] = function(a) return #a end, ["[]"] = function(t, key) return t[key] end,
    ["and"] = function(a, b) return a and b end, ["or"] = function(a, b) return a or b end,
  }
  function utils.string_lambda(text)
    local arguments, body = text:match("^%s*|([^|]*)|%s*(.+)$")
    if not arguments then
      arguments, body = "_", text:match("^%s*(.*_.*)$")
    end
    local made = body and loadstring("return function(" .. arguments .. ") return " .. body .. " end")
    return made and made()
  end
  function utils.function_arg(place, f, message)
    if type(f) == "string" then
      f = OPERATORS[f] or utils.string_lambda(f)
    end
    if not utils.is_callable(f) then
      error((message or "argument %d must be callable"):format(place), 3)
    end
    return f
  end
  function utils.bind1(f, first)
    f = utils.function_arg(1, f)
    return function(...) return f(first, ...) end
  end
  function utils.bind2(f, second)
    f = utils.function_arg(1, f)
    return function(first, ...) return f(first, second, ...) end
  end
  function utils.memoize(f)
    local known = {}
    return function(key)
      if known[key] == nil then
        known[key] = f(key)
      end
      return known[key]
    end
  end
  return utils
end

modules["pl.stringx"] = function()
  local stringx, utils = {}, require "pl.utils"
  local function list(t) return require("pl.List")(t) end
  local function is(pattern) return function(text) return text:find(pattern) == 1 end end
  stringx.isalpha, stringx.isdigit, stringx.isalnum = is("^%a+$"), is("^%d+$"), is("^%w+$")
  stringx.isspace, stringx.islower, stringx.isupper = is("^%s+$"), is("^[%l%s]+$"), is("^[%u%s]+$")
  local function stripped(text, left, right, characters)
    local class = characters and "[" .. characters:gsub("%W", "%%%0") .. "]" or "%s"
    text = left and text:gsub("^" .. class .. "+", "") or text
    return right and text:match("^(.-)" .. class .. "*$") or text
  end
  function stringx.strip(text, characters) return stripped(text, true, true, characters) end
  function stringx.lstrip(text, characters) return stripped(text, true, false, characters) end
  function stringx.rstrip(text, characters) return stripped(text, false, true, characters) end
  local function any(one) return function(text, wanted)
    for _, part in ipairs(type(wanted) == "table" and wanted or { wanted }) do
      if one(text, part) then
        return true
      end
    end
    return false
  end end
  stringx.startswith = any(function(text, prefix) return text:sub(1, #prefix) == prefix end)
  stringx.endswith = any(function(text, suffix) return suffix == "" or text:sub(-#suffix) == suffix end)
  function stringx.join(separator, values) return table.concat(values, separator) end
  -- A separator at the end has an empty part behind it.
  function stringx.split(text, separator, most)
    local parts = utils.split(separator and text or stringx.lstrip(text), separator, separator ~= nil, most)
    local ends = separator and separator ~= "" and text:find(separator, -#separator, true)
    if ends and (most or math.huge) > #parts then
      parts[#parts + 1] = ""
    end
    return list(parts)
  end
  function stringx.splitv(text, separator) return unpack(stringx.split(text, separator)) end
  function stringx.splitlines(text, keeps_ends)
    local lines = {}
    for line, ending in text:gmatch("([^\r\n]*)(\r?\n?)") do
      if line ~= "" or ending ~= "" then
        lines[#lines + 1] = keeps_ends and line .. ending or line
      end
    end
    return list(lines)
  end
  function stringx.lines(text)
    local lines, at = stringx.splitlines(text), 0
    return function()
      at = at + 1
      return lines[at]
    end
  end
  function stringx.lfind(text, part, first, last)
    local from, to = text:find(part, first, true)
    return from and (not last or to <= last) and from or nil
  end
  function stringx.rfind(text, part, first, last)
    local found, at = nil, first or 1
    while true do
      local from, to = text:find(part, at, true)
      if not from or last and to > last then
        return found
      end
      found, at = from, from + 1
    end
  end
  function stringx.replace(text, old, new, most)
    return (text:gsub(utils.escape(old), (new:gsub("%%", "%%%%")), most))
  end
  function stringx.count(text, part) return select(2, text:gsub(utils.escape(part), "")) end
  local function filled(text, width, character, left, right)
    local missing = math.max(width - #text, 0)
    local before = left and right and math.floor(missing / 2) or left and missing or 0
    return (character or " "):rep(before) .. text .. (character or " "):rep(missing - before)
  end
  function stringx.ljust(text, width, character) return filled(text, width, character, false, true) end
  function stringx.rjust(text, width, character) return filled(text, width, character, true, false) end
  function stringx.center(text, width, character) return filled(text, width, character, true, true) end
  function stringx.partition(text, part)
    local from, to = text:find(part, 1, true)
    if not from then
      return text, "", ""
    end
    return text:sub(1, from - 1), part, text:sub(to + 1)
  end
  function stringx.rpartition(text, part)
    local from = stringx.rfind(text, part)
    if not from then
      return "", "", text
    end
    return text:sub(1, from - 1), part, text:sub(from + #part)
  end
  function stringx.at(text, place) return text:sub(place, place) end
  function stringx.title(text)
    return (text:gsub("(%S)(%S*)", function(first, rest) return first:upper() .. rest:lower() end))
  end
  function stringx.shorten(text, width, tail)
    if #text <= width then
      return text
    end
    return tail and "..." .. text:sub(-(width - 3)) or text:sub(1, width - 3) .. "..."
  end
  function stringx.indent(text, count, character)
    return (text:gsub("[^\n]+", (character or " "):rep(count) .. "%0"))
  end
  -- Methods of all texts.
  function stringx.import()
    for key, f in pairs(stringx) do
      if key ~= "import" and string[key] == nil then
        string[key] = f
      end
    end
  end
  return stringx
end

modules["pl.pretty"] = function()
  local pretty = {}
  local function quoted(text)
    return (("%q"):format(text):gsub("\\\n", "\\n"):gsub("\r", "\\r"))
  end
  local function is_name(key)
    return type(key) == "string" and key:find("^[%a_][%w_]*$") ~= nil and loadstring("local " .. key) ~= nil
  end
  local function key_of(key)
    return is_name(key) and key or type(key) == "string" and "[" .. quoted(key) .. "]" or "[" .. tostring(key) .. "]"
  end
  -- As Lua reads it: the list first, then the rest in order. `indent` empty: on one line.
  function pretty.write(value, indent, without_metatables)
    indent = indent or "  "
    local out, path = {}, {}
    local newline, is = indent == "" and "" or "\n", indent == "" and "=" or " = "
    local function put(t, depth)
      if type(t) == "string" then
        out[#out + 1] = quoted(t)
      elseif type(t) ~= "table" then
        local is_data = t == nil or type(t) == "number" or type(t) == "boolean"
        out[#out + 1] = is_data and tostring(t) or quoted(tostring(t))
      elseif path[t] then
        out[#out + 1] = "<cycle>"
      elseif not without_metatables and (getmetatable(t) or {}).__tostring then
        out[#out + 1] = tostring(t)
      else
        path[t] = true
        local keys, count = {}, #t
        for key in pairs(t) do
          if not (type(key) == "number" and key % 1 == 0 and key >= 1 and key <= count) then
            keys[#keys + 1] = key
          end
        end
        table.sort(keys, function(a, b)
          if type(a) == type(b) and type(a) ~= "table" and type(a) ~= "boolean" then
            return a < b
          end
          return type(a) < type(b)
        end)
        out[#out + 1] = "{" .. newline
        local function item(key, one, is_last)
          out[#out + 1] = indent:rep(depth + 1) .. (key and key_of(key) .. is or "")
          put(one, depth + 1)
          out[#out + 1] = (is_last and "" or ",") .. newline
        end
        for i = 1, count do
          item(nil, t[i], i == count and #keys == 0)
        end
        for i, key in ipairs(keys) do
          item(key, t[key], i == #keys)
        end
        out[#out + 1], path[t] = indent:rep(depth) .. "}", nil
      end
    end
    put(value, 0)
    return table.concat(out)
  end
  function pretty.dump(value) print(pretty.write(value)) end
  -- A table that was written, which may hold no code.
  function pretty.read(text)
    local inside = text:match("^%s*return%s+(.*)$") or text
    local bare = inside:gsub("\\.", ""):gsub('"[^"]*"', ""):gsub("'[^']*'", "")
    if not inside:find("^%s*{") or bare:find("[()]") or bare:find("function") or bare:find("%[=*%[") then
      return nil, "a table was expected, without code"
    end
    local made, err = loadstring("return " .. inside, "tbl")
    if not made then
      return nil, err
    end
    return setfenv(made, {})()
  end
  return setmetatable(slot.partial(name, pretty), { __index = getmetatable(pretty).__index,
    __call = function(_, ...) return pretty.write(...) end })
end

modules["pl.path"] = function()
  local path = { sep = "/", dirsep = ":", is_windows = false }
  local function attribute(file, key)
    local attributes = require("lfs").attributes(file)
    return attributes and attributes[key]
  end
  function path.basename(file) return (file:match("([^/]*)$")) end
  function path.dirname(file) return (file:match("^(.*)/[^/]*$")) or "" end
  function path.splitpath(file) return path.dirname(file), path.basename(file) end
  function path.splitext(file)
    local root, extension = file:match("^(.*[^/])(%.[^./]*)$")
    return root or file, extension or ""
  end
  function path.extension(file) return (select(2, path.splitext(file))) end
  function path.isabs(file) return file:sub(1, 1) == "/" end
  function path.join(first, ...)
    for i = 1, select("#", ...) do
      local part = select(i, ...)
      if path.isabs(part) or first == "" then
        first = part
      else
        first = first .. (first:sub(-1) == "/" and "" or "/") .. part
      end
    end
    return first
  end
  function path.normpath(file)
    local kept, is_absolute = {}, path.isabs(file)
    for segment in file:gmatch("[^/]+") do
      if segment == ".." and #kept > 0 and kept[#kept] ~= ".." then
        kept[#kept] = nil
      elseif segment ~= "." and not (segment == ".." and is_absolute) then
        kept[#kept + 1] = segment
      end
    end
    local normal = (is_absolute and "/" or "") .. table.concat(kept, "/")
    return normal == "" and "." or normal
  end
  function path.exists(file) return attribute(file, "mode") and file or nil end
  function path.isfile(file) return attribute(file, "mode") == "file" end
  function path.isdir(file) return attribute(file, "mode") == "directory" end
  function path.getsize(file) return attribute(file, "size") end
  return path
end

modules["pl.file"] = function()
  local file = { read = function(path) return require("pl.utils").readfile(path) end }
  function file.write(path, text)
    local handle, err = io.open(path, "wb")
    if not handle then
      return nil, err
    end
    local ok
    ok, err = handle:write(text)
    handle:close()
    return ok and true or nil, err
  end
  function file.delete(path) return os.remove(path) end
  return file
end

local module = modules[name]()
return getmetatable(module) and module or slot.partial(name, module)
