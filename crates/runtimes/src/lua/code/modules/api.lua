-- kong.api.endpoints: what endpoints of plugins are made from.
local name, slot = ...
local null = slot.null
local type, tostring, pairs, tonumber = type, tostring, pairs, tonumber
local modules = {}

local STATUS = { [1] = 400, [2] = 400, [3] = 400, [4] = 400, [5] = 409, [6] = 404, [7] = 400, [8] = 500, [9] = 400,
  [10] = 400, [11] = 400, [12] = 405, [13] = 400, [19] = 400, [503] = 503 }
local UUID = ("%x"):rep(8) .. "%-" .. (("%x"):rep(4) .. "%-"):rep(3) .. ("%x"):rep(12)

local function exit(...) return kong.response.exit(...) end

local endpoints = {}

function endpoints.handle_error(err_t)
  local status = type(err_t) == "table" and STATUS[err_t.code] or 500
  if status == 500 then
    kong.log.err(tostring(type(err_t) == "table" and err_t.message or err_t))
    return exit(500, { message = "An unexpected error occurred" })
  end
  local body = table.clone(err_t)
  body.strategy = nil
  return exit(status, body)
end

function endpoints.get_page_size(args)
  local size = tonumber(args.size)
  if args.size ~= nil and (not size or size < 1 or size > 1000 or size % 1 ~= 0) then
    return nil, "size must be an integer between 1 and 1000", { code = 9, name = "invalid size",
      message = "size must be an integer between 1 and 1000" }
  end
  return size
end

function endpoints.extract_options(_, args) return { tags = args and args.tags } end

local function options() return { nulls = true } end

-- Asks for a record by what its path says: an id, or the value of the field that names records.
local function by_path(action, self, db, schema, ...)
  local dao, given = db[schema.name], self.params[schema.name]
  if type(given) == "string" and given:find("^" .. UUID .. "$") then
    return dao[action](dao, { id = given }, ...)
  elseif schema.endpoint_key and dao[action .. "_by_" .. schema.endpoint_key] then
    return dao[action .. "_by_" .. schema.endpoint_key](dao, given, ...)
  end
  return nil
end

function endpoints.select_entity(self, db, schema) return by_path("select", self, db, schema, options()) end
function endpoints.update_entity(self, db, schema)
  return by_path("update", self, db, schema, self.args.post, options())
end
function endpoints.upsert_entity(self, db, schema)
  return by_path("upsert", self, db, schema, self.args.post, options())
end
function endpoints.delete_entity(self, db, schema) return by_path("delete", self, db, schema) end
function endpoints.insert_entity(self, db, schema) return db[schema.name]:insert(self.args.post, options()) end

function endpoints.page_collection(self, db, schema, method)
  local size, err, err_t = endpoints.get_page_size(self.args.uri)
  if err then
    return nil, err, err_t
  end
  local dao = db[schema.name]
  return dao[method or "page"](dao, size, self.args.uri.offset, options())
end

-- The record that the path is about first; the request is answered where there is none.
local function outer(self, db, schema)
  local found, _, err_t = endpoints.select_entity(self, db, schema)
  if err_t then
    return endpoints.handle_error(err_t)
  elseif not found then
    return exit(404, { message = "Not found" })
  end
  return found
end

-- What is in the path has to belong to what is before it there.
local function inner(self, db, schema, foreign, field)
  local found, _, err_t = endpoints.select_entity(self, db, schema)
  if err_t then
    return endpoints.handle_error(err_t)
  end
  local owner = foreign and outer(self, db, foreign)
  if not found or owner and (type(found[field]) ~= "table" or found[field].id ~= owner.id) then
    return exit(404, { message = "Not found" })
  end
  return found
end

function endpoints.get_collection_endpoint(schema, foreign, field, method)
  return function(self, db)
    local rows, _, err_t, offset
    local path = schema.admin_api_name or schema.name
    if foreign then
      local owner = outer(self, db, foreign)
      local dao, size = db[schema.name], nil
      size, _, err_t = endpoints.get_page_size(self.args.uri)
      if not err_t then
        rows, _, err_t, offset =
          dao[method or "page_for_" .. field](dao, { id = owner.id }, size, self.args.uri.offset, options())
      end
      path = ("%s/%s/%s"):format(foreign.name, owner.id, schema.admin_api_nested_name or path)
    else
      rows, _, err_t, offset = endpoints.page_collection(self, db, schema, method)
    end
    if err_t then
      return endpoints.handle_error(err_t)
    end
    local following = offset and ("/%s?offset=%s"):format(path, ngx.escape_uri(offset))
    return exit(200, { data = setmetatable(rows, slot.native.array_mt), offset = offset, next = following or null })
  end
end

function endpoints.post_collection_endpoint(schema, foreign, field, method)
  return function(self, db, _, changed)
    if foreign then
      self.args.post[field] = { id = outer(self, db, foreign).id }
    end
    local dao = db[schema.name]
    local record, _, err_t = dao[method or "insert"](dao, self.args.post, options())
    if err_t then
      return endpoints.handle_error(err_t)
    elseif type(changed) == "function" and changed ~= slot.parent then
      record = changed(record)
    end
    return exit(201, record)
  end
end

function endpoints.get_entity_endpoint(schema, foreign, field)
  return function(self, db) return exit(200, inner(self, db, schema, foreign, field)) end
end

local function writer(write)
  return function(schema, foreign, field)
    return function(self, db)
      if foreign then
        self.args.post[field] = { id = outer(self, db, foreign).id }
      end
      local record, _, err_t = write(self, db, schema)
      if err_t then
        return endpoints.handle_error(err_t)
      elseif not record then
        return exit(404, { message = "Not found" })
      end
      return exit(200, record)
    end
  end
end
endpoints.put_entity_endpoint = writer(endpoints.upsert_entity)
endpoints.patch_entity_endpoint = writer(endpoints.update_entity)

function endpoints.delete_entity_endpoint(schema, foreign, field)
  return function(self, db)
    if foreign then
      inner(self, db, schema, foreign, field)
    end
    local _, _, err_t = endpoints.delete_entity(self, db, schema)
    if err_t then
      return endpoints.handle_error(err_t)
    end
    return exit(204)
  end
end

endpoints.disable = { before = function() return exit(404, { message = "Not found" }) end }
modules["kong.api.endpoints"] = function() return endpoints end

modules["kong.api.api_helpers"] = function()
  return { normalize_nested_params = function(params) return params end,
    yield_error = function(err) return endpoints.handle_error(err) end }
end

return modules[name]()
