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
      -- Of an argument that comes more than once the last one counts, as in lapis.
      params[key] = values == asked.query and type(value) == "table" and value[#value] or value
    end
  end
  local self = slot.lapis_request(asked, params, post, path)
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
  slot.lapis_answer(self, answer, returned)
  return returned
end
