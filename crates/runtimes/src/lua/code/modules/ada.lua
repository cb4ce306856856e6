-- resty.ada: addresses of the web as browsers read them, and what is in their queries.
local name, slot = ...
local native = slot.native
local type, error, ipairs, pairs, setmetatable, tostring = type, error, ipairs, pairs, setmetatable, tostring
local modules = {}

local PARTS = { "href", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash" }

-- Arguments of a query in their order.
modules["resty.ada.search"] = function()
  local search, methods = { _VERSION = "1.0.0" }, {}
  local metatable = { __index = methods }

  local function decoded(text) return (ngx.unescape_uri((text:gsub("+", " ")))) end
  local function encoded(text)
    text = text:gsub("[^%w%*%-%._ ]", function(octet) return ("%%%02X"):format(octet:byte()) end)
    return (text:gsub(" ", "+"))
  end
  local function read(text)
    local list = {}
    for pair in (text:gsub("^%?", "")):gmatch("[^&]+") do
      local key, value = pair:match("^([^=]*)=(.*)$")
      list[#list + 1] = { decoded(key or pair), decoded(value or "") }
    end
    return list
  end

  function search.parse(text)
    if type(text) ~= "string" then
      error("invalid search", 2)
    end
    return setmetatable({ list = read(text) }, metatable)
  end
  function methods:tostring()
    local parts = {}
    for i, pair in ipairs(self.list) do
      parts[i] = encoded(pair[1]) .. "=" .. encoded(pair[2])
    end
    return table.concat(parts, "&")
  end
  function methods:get(key)
    for _, pair in ipairs(self.list) do
      if pair[1] == key then
        return pair[2]
      end
    end
  end
  function methods:get_all(key)
    local all = {}
    for _, pair in ipairs(self.list) do
      all[#all + 1] = pair[1] == key and pair[2] or nil
    end
    return all
  end
  function methods:has(key) return self:get(key) ~= nil end
  function methods:has_value(key, value)
    for _, pair in ipairs(self.list) do
      if pair[1] == key and pair[2] == value then
        return true
      end
    end
    return false
  end
  function methods:append(key, value)
    self.list[#self.list + 1] = { key, tostring(value) }
    return self
  end
  function methods:remove(key, value)
    for at = #self.list, 1, -1 do
      if self.list[at][1] == key and (value == nil or self.list[at][2] == value) then
        table.remove(self.list, at)
      end
    end
    return self
  end
  methods.remove_value = methods.remove
  -- The first of that name, in its place; others go away.
  function methods:set(key, value)
    local kept, found = {}, false
    for _, pair in ipairs(self.list) do
      if pair[1] ~= key then
        kept[#kept + 1] = pair
      elseif not found then
        kept[#kept + 1], found = { key, tostring(value) }, true
      end
    end
    self.list = kept
    return found and self or self:append(key, value)
  end
  function methods:sort()
    local places = {}
    for at, pair in ipairs(self.list) do
      places[pair] = at
    end
    table.sort(self.list, function(a, b)
      if a[1] == b[1] then
        return places[a] < places[b]
      end
      return a[1] < b[1]
    end)
    return self
  end
  function methods:size() return #self.list end
  function methods:reset(text)
    self.list = read(text or "")
    return self
  end
  local function walk(self, shown)
    local at = 0
    return function()
      at = at + 1
      if self.list[at] then
        return shown(self.list[at])
      end
    end
  end
  function methods:each() return walk(self, function(pair) return pair[1], pair[2] end) end
  function methods:each_key() return walk(self, function(pair) return pair[1] end) end
  function methods:each_value() return walk(self, function(pair) return pair[2] end) end
  metatable.__tostring, metatable.__len = methods.tostring, methods.size

  -- The same of a text: what changes it gives the text anew.
  for method, f in pairs(methods) do
    if not search[method] then
      search[method] = function(text, ...)
        local result = f(search.parse(text), ...)
        return getmetatable(result) == metatable and result:tostring() or result
      end
    end
  end
  return search
end

modules["resty.ada"] = function()
  local ada, methods = { _VERSION = "1.0.0" }, {}
  local metatable = { __index = methods, __tostring = function(self) return self.parts.href end }
  metatable.__eq = function(a, b) return a.parts.href == b.parts.href end
  metatable.__len = function(self) return #self.parts.href end

  function ada.parse(text, base)
    if type(text) ~= "string" or base ~= nil and type(base) ~= "string" then
      error("invalid url", 2)
    end
    local parts = native.url(text, base)
    if not parts then
      return nil, "invalid url"
    end
    return setmetatable({ parts = parts }, metatable)
  end
  function ada.can_parse(text, base) return native.url(text, base) ~= nil end

  for _, part in ipairs(PARTS) do
    methods["get_" .. part] = function(self) return self.parts[part] end
    methods["set_" .. part] = function(self, value)
      -- What cannot be set stays as it was, as in browsers.
      self.parts = native.url_changed(self.parts.href, part, tostring(value)) or self.parts
      return self
    end
    methods["has_" .. part] = function(self)
      local known = self.parts["has_" .. part]
      if known ~= nil then
        return known
      end
      return self.parts[part] ~= ""
    end
  end
  for _, part in ipairs { "port", "search", "hash" } do
    methods["clear_" .. part] = function(self) return methods["set_" .. part](self, "") end
  end
  function methods:get_origin() return self.parts.origin end
  function methods:has_credentials() return self.parts.username ~= "" or self.parts.password ~= "" end
  methods.has_non_empty_username, methods.has_non_empty_password = methods.has_username, methods.has_password
  function methods:tostring() return self.parts.href end
  function methods:search_parse() return require("resty.ada.search").parse(self.parts.search) end
  for method in pairs(require "resty.ada.search") do
    if type(method) == "string" and not method:find("^_") and method ~= "parse" then
      methods["search_" .. method] = methods["search_" .. method] or function(self, ...)
        local search = require("resty.ada.search").parse(self.parts.search)
        local result = search[method](search, ...)
        if result == search then
          return methods.set_search(self, search:tostring())
        end
        return result
      end
    end
  end

  -- The same of a text: what changes it gives the text anew.
  for method, f in pairs(methods) do
    ada[method] = function(text, ...)
      local url, err = ada.parse(text)
      if not url then
        return nil, err
      end
      local result = f(url, ...)
      return result == url and url.parts.href or result
    end
  end
  return ada
end

return modules[name]()
