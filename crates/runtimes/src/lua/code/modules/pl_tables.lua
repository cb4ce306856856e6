-- What stands in for parts of Penlight where it is not installed: tables, lists and sets.
local name, slot = ...
local type, tostring, pairs, ipairs, error = type, tostring, pairs, ipairs, error
local setmetatable, getmetatable = setmetatable, getmetatable
local modules = {}

local function callable(place, f) return require("pl.utils").function_arg(place, f) end

modules["pl.tablex"] = function()
  local tablex = { copy = table.clone, size = table.nkeys }
  local function range(t, first, last)
    first, last = first or 1, last or #t
    return first < 0 and #t + first + 1 or first, last < 0 and #t + last + 1 or last
  end
  function tablex.deepcopy(t) return require("kong.tools.table").deep_copy(t) end
  function tablex.update(t, other)
    for key, value in pairs(other) do
      t[key] = value
    end
    return t
  end
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
  function tablex.index_map(t)
    local map = {}
    for place, value in ipairs(t) do
      map[value] = place
    end
    return map
  end
  function tablex.makeset(t)
    local set = {}
    for _, value in ipairs(t) do
      set[value] = true
    end
    return set
  end
  function tablex.index_by(t, keys)
    local found = {}
    for _, key in ipairs(keys) do
      found[#found + 1] = t[key]
    end
    return found
  end
  function tablex.map(f, t, ...)
    f = callable(1, f)
    local mapped = {}
    for key, value in pairs(t) do
      mapped[key] = f(value, ...)
    end
    return mapped
  end
  function tablex.imap(f, t, ...)
    f = callable(1, f)
    local mapped = {}
    for place = 1, #t do
      mapped[place] = f(t[place], ...) or false
    end
    return mapped
  end
  function tablex.pairmap(f, t, ...)
    f = callable(1, f)
    local mapped = {}
    for key, value in pairs(t) do
      local made, at = f(key, value, ...)
      mapped[at or #mapped + 1] = made
    end
    return mapped
  end
  function tablex.mapn(f, ...)
    f = callable(1, f)
    local lists, shortest = { ... }, math.huge
    for _, list in ipairs(lists) do
      shortest = math.min(shortest, #list)
    end
    local mapped = {}
    for place = 1, shortest do
      mapped[place] = f(unpack(tablex.imap(function(list) return list[place] end, lists)))
    end
    return mapped
  end
  function tablex.zip(...) return tablex.mapn(function(...) return { ... } end, ...) end
  function tablex.transform(f, t, ...)
    f = callable(1, f)
    for key, value in pairs(t) do
      t[key] = f(value, ...)
    end
    return t
  end
  function tablex.foreach(t, f, ...)
    f = callable(2, f)
    for key, value in pairs(t) do
      f(value, key, ...)
    end
  end
  function tablex.foreachi(t, f, ...)
    f = callable(2, f)
    for place = 1, #t do
      f(t[place], place, ...)
    end
  end
  function tablex.reduce(f, t, memo)
    f = callable(1, f)
    local from = 1
    if memo == nil then
      memo, from = t[1], 2
    end
    for place = from, #t do
      memo = f(memo, t[place])
    end
    return memo
  end
  function tablex.filter(t, keep, ...)
    keep = callable(2, keep)
    local kept = {}
    for _, value in ipairs(t) do
      if keep(value, ...) then
        kept[#kept + 1] = value
      end
    end
    return kept
  end
  function tablex.find(t, wanted, from)
    for place = range(t, from), #t do
      if t[place] == wanted then
        return place
      end
    end
  end
  function tablex.rfind(t, wanted, from)
    for place = range(t, from or -1), 1, -1 do
      if t[place] == wanted then
        return place
      end
    end
  end
  function tablex.find_if(t, f, ...)
    f = callable(2, f)
    for place = 1, #t do
      local found = f(t[place], ...)
      if found then
        return place, found
      end
    end
  end
  function tablex.count_map(t, same)
    local counts = {}
    for _, value in ipairs(t) do
      local known = value
      for other in pairs(same and counts or {}) do
        known = same(value, other) and other or known
      end
      counts[known] = (counts[known] or 0) + 1
    end
    return counts
  end
  function tablex.merge(first, second, all)
    local merged = {}
    for key, value in pairs(first) do
      if all or second[key] ~= nil then
        merged[key] = value
      end
    end
    for key, value in pairs(all and second or {}) do
      merged[key] = value
    end
    return merged
  end
  function tablex.union(first, second) return tablex.merge(first, second, true) end
  function tablex.intersection(first, second) return tablex.merge(first, second, false) end
  function tablex.difference(first, second, symmetric)
    local left = {}
    for key, value in pairs(first) do
      left[key] = second[key] == nil and value or nil
    end
    for key, value in pairs(symmetric and second or {}) do
      if first[key] == nil then
        left[key] = value
      end
    end
    return left
  end
  function tablex.issubset(first, second)
    for key in pairs(second) do
      if first[key] == nil then
        return false
      end
    end
    return true
  end
  function tablex.deepcompare(a, b, ignores_metatables, tolerance)
    if type(a) ~= type(b) then
      return false
    elseif type(a) ~= "table" then
      return a == b or type(a) == "number" and tolerance ~= nil and math.abs(a - b) < tolerance
    end
    local metatable = not ignores_metatables and getmetatable(a)
    if metatable and metatable.__eq then
      return a == b
    end
    for key, value in pairs(a) do
      if b[key] == nil or not tablex.deepcompare(value, b[key], ignores_metatables, tolerance) then
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
  function tablex.compare(first, second, same)
    same = same and callable(3, same) or function(a, b) return a == b end
    for place = 1, math.max(#first, #second) do
      if #first ~= #second or not same(first[place], second[place]) then
        return false
      end
    end
    return true
  end
  function tablex.compare_no_order(first, second, same)
    same = same and callable(3, same) or function(a, b) return a == b end
    local taken = {}
    for _, value in ipairs(first) do
      local found
      for place, other in ipairs(second) do
        if not found and not taken[place] and same(value, other) then
          found, taken[place] = true, true
        end
      end
      if not found then
        return false
      end
    end
    return #first == #second
  end
  local function in_order(t, keys)
    local at = 0
    return function()
      at = at + 1
      return keys[at], t[keys[at]]
    end
  end
  function tablex.sort(t, order)
    local keys = tablex.keys(t)
    table.sort(keys, order)
    return in_order(t, keys)
  end
  function tablex.sortv(t, order)
    order = order or function(a, b) return a < b end
    local keys = tablex.keys(t)
    table.sort(keys, function(a, b) return order(t[a], t[b]) end)
    return in_order(t, keys)
  end
  function tablex.sub(t, first, last)
    first, last = range(t, first, last)
    local part = {}
    for place = first, last do
      part[#part + 1] = t[place]
    end
    return part
  end
  function tablex.range(first, last, step)
    local list = {}
    for value = first, last, step or 1 do
      list[#list + 1] = value
    end
    return list
  end
  function tablex.new(count, value)
    local list = {}
    for place = 1, count do
      list[place] = value
    end
    return list
  end
  function tablex.set(t, value, first, last)
    for place = first or 1, last or #t do
      t[place] = value
    end
  end
  function tablex.icopy(to, from, at, first, count)
    at, first = at or 1, first or 1
    for offset = 0, (count or #from - first + 1) - 1 do
      to[at + offset] = from[first + offset]
    end
    return to
  end
  function tablex.insertvalues(t, ...)
    local at, values = ...
    if values == nil then
      at, values = #t + 1, at
    end
    for offset = #values, 1, -1 do
      table.insert(t, at, values[offset])
    end
    return t
  end
  function tablex.removevalues(t, first, last)
    first, last = range(t, first, last)
    for _ = first, last do
      table.remove(t, first)
    end
    return t
  end
  function tablex.clear(t, first)
    for place = #t, first or 1, -1 do
      t[place] = nil
    end
  end
  function tablex.search(t, wanted, _)
    for key, value in pairs(t) do
      if value == wanted then
        return tostring(key)
      elseif type(value) == "table" then
        local found = tablex.search(value, wanted)
        if found then
          return tostring(key) .. "." .. found
        end
      end
    end
  end
  function tablex.readonly(t)
    return setmetatable({}, { __index = t, __newindex = function() error("Attempt to modify read-only table", 2) end,
      __len = function() return #t end, __metatable = false })
  end
  return tablex
end

modules["pl.types"] = function()
  local types = { is_callable = function(value) return require("pl.utils").is_callable(value) end }
  function types.type(value)
    local metatable = type(value) == "table" and getmetatable(value)
    return metatable and metatable._name or type(value)
  end
  function types.is_integer(value) return type(value) == "number" and value % 1 == 0 end
  function types.is_empty(value, ignores_blanks)
    return value == nil or type(value) == "table" and next(value) == nil
      or type(value) == "string" and (value == "" or ignores_blanks == true and not value:find("%S"))
      or type(value) ~= "table" and type(value) ~= "string"
  end
  local function has(key) return function(value)
    return type(value) == "table" or (getmetatable(value) or {})[key] ~= nil
  end end
  types.is_indexable, types.is_iterable, types.is_writeable = has("__index"), has("__pairs"), has("__newindex")
  local YES = { yes = true, y = true, ["true"] = true, t = true, ["1"] = true }
  function types.to_bool(value, more, by_emptiness)
    if type(value) == "string" then
      for _, word in ipairs(more or {}) do
        if word == value:lower() then
          return true
        end
      end
      return YES[value:lower()] == true
    elseif type(value) == "boolean" or type(value) == "number" then
      return value == true or type(value) == "number" and value ~= 0
    end
    return by_emptiness == true and not types.is_empty(value)
  end
  return types
end

modules["pl.List"] = function()
  local tablex = require "pl.tablex"
  local List = { _name = "List" }
  List.__index = List
  local function as_list(t) return setmetatable(t, List) end
  local function make(_, values)
    local list = as_list {}
    if type(values) == "function" then
      for value in values do
        list[#list + 1] = value
      end
      return list
    end
    return tablex.icopy(list, values or {})
  end
  function List.new(values) return make(nil, values) end
  function List:clone() return make(nil, self) end
  function List:append(value) self[#self + 1] = value return self end
  List.push = List.append
  function List:extend(values) return tablex.icopy(self, values, #self + 1) end
  function List:insert(at, value) table.insert(self, at, value) return self end
  function List:put(value) return self:insert(1, value) end
  function List:remove(at) table.remove(self, at) return self end
  function List:remove_value(value)
    local at = self:index(value)
    return at and self:remove(at) or self
  end
  function List:pop(at) return table.remove(self, at and (at > 0 and at or #self + at + 1) or #self) end
  List.get = List.pop
  List.index, List.count = tablex.find, function(self, value) return tablex.count_map(self)[value] or 0 end
  function List:contains(value) return self:index(value) ~= nil end
  function List:sort(order) table.sort(self, order and callable(1, order)) return self end
  function List:sorted(order) return self:clone():sort(order) end
  function List:reverse()
    local count = #self
    for at = 1, math.floor(count / 2) do
      self[at], self[count - at + 1] = self[count - at + 1], self[at]
    end
    return self
  end
  function List:minmax()
    local least, most = math.huge, -math.huge
    for _, value in ipairs(self) do
      least, most = math.min(least, value), math.max(most, value)
    end
    return least, most
  end
  function List:slice(first, last) return as_list(tablex.sub(self, first, last)) end
  function List:clear() tablex.clear(self) return self end
  function List:chop(first, last) return tablex.removevalues(self, first, last) end
  function List:splice(at, values) return tablex.insertvalues(self, at, values) end
  function List:len() return #self end
  function List:concat(values) return self:clone():extend(values) end
  function List:join(separator) return table.concat(tablex.imap(tostring, self), separator or "") end
  function List:foreach(f, ...) return tablex.foreachi(self, f, ...) end
  function List:map(f, ...) return as_list(tablex.imap(f, self, ...)) end
  function List:transform(f, ...) return tablex.transform(f, self, ...) end
  function List:filter(f, ...) return as_list(tablex.filter(self, f, ...)) end
  function List:reduce(f, memo) return tablex.reduce(f, self, memo) end
  function List:iter()
    local at = 0
    return function()
      at = at + 1
      return self[at]
    end
  end
  List.iterate = function(values) return make(nil, values):iter() end
  function List.range(first, last, step)
    return as_list(tablex.range(last and first or 1, last or first, step))
  end
  function List.split(text, separator) return as_list(require("pl.utils").split(text, separator)) end
  function List.__concat(a, b) return List.concat(a, b) end
  function List.__eq(a, b) return tablex.compare(a, b) end
  function List.__tostring(list) return "{" .. list:join(",") .. "}" end
  function List:is_a(class) return class == List end
  return setmetatable(List, { __call = make })
end

modules["pl.Set"] = function()
  local tablex = require "pl.tablex"
  local Set = { _name = "Set" }
  Set.__index = Set
  local function as_set(t) return setmetatable(t, Set) end
  function Set.values(set) return require("pl.List")(tablex.keys(set)) end
  function Set.map(set, f, ...)
    local mapped = {}
    for value in pairs(set) do
      mapped[f(value, ...)] = true
    end
    return as_set(mapped)
  end
  local function as_values(other) return getmetatable(other) == Set and other or { [other] = true } end
  function Set.union(a, b) return as_set(tablex.union(a, as_values(b))) end
  function Set.intersection(a, b) return as_set(tablex.intersection(a, as_values(b))) end
  function Set.difference(a, b) return as_set(tablex.difference(a, as_values(b))) end
  function Set.symmetric_difference(a, b) return as_set(tablex.difference(a, b, true)) end
  function Set.issubset(a, b) return tablex.issubset(b, a) end
  function Set.isempty(set) return next(set) == nil end
  function Set.isdisjoint(a, b) return Set.isempty(Set.intersection(a, b)) end
  Set.len = tablex.size
  Set.__add, Set.__mul, Set.__sub, Set.__pow = Set.union, Set.intersection, Set.difference, Set.symmetric_difference
  Set.__lt, Set.__len = Set.issubset, Set.len
  function Set.__eq(a, b) return tablex.issubset(a, b) and tablex.issubset(b, a) end
  function Set.__tostring(set)
    local texts = tablex.imap(tostring, tablex.keys(set))
    table.sort(texts)
    return "[" .. table.concat(texts, ",") .. "]"
  end
  return setmetatable(Set, { __call = function(_, values)
    local set = {}
    for key, value in pairs(values or {}) do
      set[getmetatable(values) == Set and key or value] = true
    end
    return as_set(set)
  end })
end

local module = modules[name]()
return getmetatable(module) and module or slot.partial(name, module)
