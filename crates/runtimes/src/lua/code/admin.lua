-- Endpoints of the Admin API (`api.lua`) and the Status API (`status_api.lua`) that plugins bring along.
local slot = ...
local native = slot.native
local type, pairs, ipairs, next, error, tostring, tonumber = type, pairs, ipairs, next, error, tostring, tonumber

local METHODS = { "GET", "POST", "PUT", "PATCH", "DELETE" }

-- A path as the Admin API has it: `/consumers/{consumers}/words`.
local function path_of(path)
  return (path:gsub("/+$", ""):gsub("/:([^/]+)", "/{%1}"))
end

local function methods_of(definition)
  local methods = type(definition.methods) == "table" and definition.methods or definition
  return methods
end

-- The endpoints of a plugin: paths, and the methods of each.
function slot.endpoints(routes)
  local all = {}
  for path, definition in pairs(routes) do
    if type(path) == "string" and path:sub(1, 1) == "/" and type(definition) == "table" then
      local methods, own = methods_of(definition), {}
      for _, method in ipairs(METHODS) do
        if type(methods[method]) == "function" then
          own[#own + 1] = method
        end
      end
      if #own > 0 then
        all[#all + 1] = { path_of(path), own }
      end
    end
  end
  -- What is written out goes before what stands for anything.
  table.sort(all, function(a, b) return a[1]:gsub("{", "~") < b[1]:gsub("{", "~") end)
  return all
end

-- What `kong` and `ngx` ask of a request of the Admin API, and the answer that is put together.
function slot.admin_host(asked)
  if asked.body == slot.null then
    asked.body = nil
  end
  local answer = { headers = {} }
  local does = {
    ["request.get_method"] = function() return asked.method end,
    ["request.get_path"] = function() return asked.path end,
    ["request.get_raw_path"] = function() return asked.path end,
    ["request.get_query"] = function() return asked.query end,
    ["request.get_query_arg"] = function(argument) return asked.query[argument] end,
    ["request.get_header"] = function() end,
    ["request.get_headers"] = function() return {} end,
    ["request.get_body"] = function() return asked.body end,
    ["request.get_raw_body"] = function() return native.json_encode(asked.body) end,
    ["request.get_scheme"] = function() return "http" end,
    ["ngx.workspace"] = function() return asked.workspace end,
    ["ngx.var"] = function() return nil end,
    ["ngx.get_status"] = function() return answer.status or 200 end,
    ["ngx.set_status"] = function(status) answer.status = status end,
    ["ngx.say"] = function(text) answer.body = (answer.body or "") .. text end,
    ["ngx.exit"] = function(status) answer.status = answer.status or status end,
    ["response.get_status"] = function() return answer.status or 200 end,
    ["response.set_status"] = function(status) answer.status = status end,
    ["response.get_headers"] = function() return answer.headers end,
    ["response.get_header"] = function(name) return answer.headers[name:lower()] end,
  }
  -- A value is a text, a list of them, or nothing.
  local function set(name, value)
    answer.headers[name:lower()] = type(value) == "table" and value or value ~= nil and tostring(value) or nil
  end
  local function set_all(headers)
    for name, value in pairs(headers or {}) do
      set(name, value)
    end
  end
  does["response.set_header"], does["response.set_headers"], does["ngx.set_response_header"] = set, set_all, set
  does["response.clear_header"] = function(name) set(name, nil) end
  does["response.add_header"] = function(name, value)
    local before = answer.headers[name:lower()]
    local all = type(before) == "table" and before or { before }
    all[#all + 1] = tostring(value)
    set(name, all)
  end
  does["response.exit"] = function(status, body, headers)
    answer.status, answer.body = status, body
    set_all(headers)
  end
  does["response.error"] = function(status, message, headers)
    answer.status, answer.body = status, native.json_encode({ message = message })
    set_all(headers)
  end
  return function(what, ...)
    local f = does[what]
    if not f then
      error("kong." .. tostring(what) .. " is not there for requests of the Admin API", 2)
    end
    return f(...)
  end, answer
end

-- Fields of forms, which are texts all of them, as the schema of an endpoint has them.
local function is_of_texts(value)
  if type(value) ~= "table" then
    return type(value) == "string"
  end
  for _, inner in pairs(value) do
    if not is_of_texts(inner) then
      return false
    end
  end
  return true
end

local function typed(value, field)
  local kind = field and field.type
  if kind == "array" or kind == "set" then
    local list = {}
    for i, one in ipairs(type(value) == "table" and value or { value }) do
      list[i] = typed(one, field.elements)
    end
    return list
  elseif type(value) == "table" then
    local fields = {}
    for _, pair in ipairs(kind == "record" and field.fields or {}) do
      local name, inner = next(pair)
      fields[name] = inner
    end
    for name, inner in pairs(value) do
      value[name] = typed(inner, kind == "map" and field.values or fields[name])
    end
    return value
  elseif value == "" and kind then
    return slot.null
  elseif kind == "integer" or kind == "number" then
    return tonumber(value) or value
  elseif kind == "boolean" and (value == "true" or value == "false") then
    return value == "true"
  end
  return value
end

-- Calls a function of data access that stands in the place of the store's own. Its errors answer the request.
function slot.admin_dao(entity, name, answer, ...)
  local dao = kong.db[entity]
  local found, err, err_t, offset = dao[name](dao, ...)
  if err or err_t then
    return require("kong.api.endpoints").handle_error(err_t or err)
  end
  answer.found, answer.offset, answer.returned = found, offset, true
end

-- Answers a request: by the function for its method, after the one that comes before all.
function slot.admin(plugin, path, asked, answer)
  local found, schema
  local module = asked.of_status and ".status_api" or ".api"
  for route, definition in pairs(require("kong.plugins." .. plugin .. module)) do
    if type(route) == "string" and path_of(route) == path then
      found, schema = methods_of(definition), definition.methods and definition.schema
    end
  end
  local params, post = {}, asked.body or {}
  if schema and is_of_texts(post) then
    for name, value in pairs(post) do
      local field = schema.fields[name]
      post[name] = typed(value, type(field) == "table" and field.type and field or nil)
    end
  end
  for _, values in pairs { asked.query, post, asked.params } do
    for key, value in pairs(values) do
      params[key] = value
    end
  end
  local self = { params = params, args = { uri = asked.query, post = post }, route_name = path,
    req = { method = asked.method, parsed_url = { path = asked.path }, params_get = asked.query, params_post = post } }
  local helpers = require "kong.api.api_helpers"
  -- What the endpoint itself does in whose place this one stands, with the content as it is now. It answers.
  local function parent()
    answer.parent = asked.body and self.args.post or true
    slot.over = true
    error("the request is answered by the endpoint itself", 0)
  end
  slot.parent = parent
  if type(found.before) == "function" then
    found.before(self, kong.db, helpers, parent)
  end
  local returned = found[asked.method](self, kong.db, helpers, parent)
  -- As endpoints say it that were written for lapis alone.
  if type(returned) == "table" and answer.status == nil and answer.body == nil then
    answer.status = tonumber(returned.status) or 200
    answer.body = returned.json ~= nil and native.json_encode(returned.json) or nil
  end
  return returned
end
