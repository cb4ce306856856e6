-- What stands in for parts of Penlight where it is not installed.
local name, slot = ...
local modules = {}

modules["pl.stringx"] = function()
  local stringx = {}
  function stringx.strip(text) return (text:match("^%s*(.-)%s*$")) end
  function stringx.lstrip(text) return (text:match("^%s*(.*)$")) end
  function stringx.rstrip(text) return (text:match("^(.-)%s*$")) end
  function stringx.startswith(text, prefix) return text:sub(1, #prefix) == prefix end
  function stringx.endswith(text, suffix) return suffix == "" or text:sub(-#suffix) == suffix end
  stringx.split = require("kong.tools.string").split
  function stringx.join(separator, list) return table.concat(list, separator) end
  function stringx.replace(text, old, new, count)
    return (text:gsub(old:gsub("%p", "%%%0"), (new:gsub("%%", "%%%%")), count))
  end
  function stringx.count(text, part) return select(2, text:gsub(part:gsub("%p", "%%%0"), "")) end
  return stringx
end

modules["pl.tablex"] = function()
  local tablex = { deepcopy = require("kong.tools.table").deep_copy, copy = table.clone, size = table.nkeys }
  function tablex.keys(t)
    local keys = {}
    for key in pairs(t) do
      keys[#keys + 1] = key
    end
    return keys
  end
  function tablex.values(t)
    local values = {}
    for _, value in pairs(t) do
      values[#values + 1] = value
    end
    return values
  end
  function tablex.map(f, t, ...)
    local mapped = {}
    for key, value in pairs(t) do
      mapped[key] = f(value, ...)
    end
    return mapped
  end
  function tablex.find(t, wanted, from)
    for i = from or 1, #t do
      if t[i] == wanted then
        return i
      end
    end
  end
  function tablex.merge(first, second, all)
    local merged = {}
    for key, value in pairs(first) do
      if all or second[key] ~= nil then
        merged[key] = value
      end
    end
    for key, value in pairs(second) do
      if all or first[key] ~= nil then
        merged[key] = value
      end
    end
    return merged
  end
  function tablex.union(first, second) return tablex.merge(first, second, true) end
  function tablex.filter(t, keep, argument)
    local kept = {}
    for _, value in ipairs(t) do
      if keep(value, argument) then
        kept[#kept + 1] = value
      end
    end
    return kept
  end
  function tablex.sort(t, order)
    local keys, i = tablex.keys(t), 0
    table.sort(keys, order)
    return function()
      i = i + 1
      return keys[i], t[keys[i]]
    end
  end
  function tablex.readonly(t) return setmetatable({}, { __index = t, __newindex = function() error("read-only", 2) end }) end
  function tablex.deepcompare(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then
      return a == b
    end
    for key, value in pairs(a) do
      if not tablex.deepcompare(value, b[key]) then
        return false
      end
    end
    for key in pairs(b) do
      if a[key] == nil then
        return false
      end
    end
    return true
  end
  return tablex
end

modules["pl.pretty"] = function()
  local pretty = {}
  function pretty.write(value) return type(value) == "table" and slot.native.json_encode(value) or tostring(value) end
  function pretty.dump(value) print(pretty.write(value)) end
  return pretty
end

modules["pl.utils"] = function()
  return { split = require("pl.stringx").split, unpack = unpack,
    pack = function(...) return { n = select("#", ...), ... } end }
end

modules["pl.path"] = function()
  local path = {}
  function path.basename(file) return (file:match("([^/]*)$")) end
  function path.dirname(file) return (file:match("^(.*)/[^/]*$")) or "" end
  function path.join(...) return (table.concat({ ... }, "/"):gsub("//+", "/")) end
  function path.exists(file)
    local handle = io.open(file, "rb")
    return handle and (handle:close() or true) and file or nil
  end
  return path
end

modules["pl.file"] = function()
  local file = {}
  function file.read(name_)
    local handle, err = io.open(name_, "rb")
    if not handle then
      return nil, err
    end
    local all = handle:read("*a")
    handle:close()
    return all
  end
  return file
end

return modules[name]()
