-- What callers of `kong.db` say, as Kong checks it: what is of a wrong type raises, what has a wrong value is an error.
local slot = ...
local type, tonumber, tostring, pairs, next, error = type, tonumber, tostring, pairs, next, error
local setmetatable, rawget, concat = setmetatable, rawget, table.concat

local PAGE_SIZE, MAX_PAGE_SIZE, MAX_TTL = 1000, 50000, 100000000

local function pagination_of(options)
  local pagination = type(options) == "table" and options.pagination
  return type(pagination) == "table" and pagination or {}
end

-- How many records a page has; else why it cannot have so many.
function slot.page_size(size, offset, options)
  if size ~= nil and type(size) ~= "number" then
    error("size must be a number", 3)
  elseif offset ~= nil and type(offset) ~= "string" then
    error("offset must be a string", 3)
  elseif options ~= nil and type(options) ~= "table" then
    error("options must be a table when specified", 3)
  end
  local most = tonumber(pagination_of(options).max_page_size) or MAX_PAGE_SIZE
  if size ~= nil and (size % 1 ~= 0 or size < 1 or size > most) then
    return nil, { code = 9, name = "invalid size", message = "size must be an integer between 1 and " .. most }
  end
  return size or tonumber(pagination_of(options).page_size) or PAGE_SIZE
end

local function workspace_named(name)
  local workspace = slot.entity("workspaces"):select_by_name(name)
  return workspace and workspace.id
end

-- What is wrong with options, by their names. A workspace may be named; it is put in the place of its name.
local function mistakes(schema, options)
  local errors = {}
  if type(options.workspace) == "string" and not require("kong.tools.uuid").is_valid_uuid(options.workspace) then
    local id = workspace_named(options.workspace)
    options.workspace = id or options.workspace
    errors.workspace = not id and "invalid workspace" or nil
  elseif options.workspace ~= nil and options.workspace ~= slot.null and type(options.workspace) ~= "string" then
    errors.workspace = "must be a string or null"
  end
  local ttl = options.ttl
  if ttl ~= nil and not schema.ttl then
    errors.ttl = ("cannot be used with '%s'"):format(schema.name)
  elseif ttl ~= nil and (type(ttl) ~= "number" or ttl % 1 ~= 0 or ttl < 0 or ttl > MAX_TTL) then
    errors.ttl = "must be an integer between 0 and " .. MAX_TTL
  end
  local tags = options.tags
  if tags ~= nil and not schema.fields.tags then
    errors.tags = ("cannot be used with '%s'"):format(schema.name)
  elseif tags ~= nil and type(tags) ~= "table" then
    errors.tags = options.tags_cond and "must be a table" or "invalid filter syntax"
  elseif tags ~= nil and #tags > 5 then
    errors.tags = "cannot query more than 5 tags"
  elseif tags ~= nil and not concat(tags):match("^[ \033-\043\045\046\048-\126\128-\244]+$") then
    errors.tags = "must only contain printable ascii (except `,` and `/`) or valid utf-8"
  elseif tags ~= nil and #tags > 1 and options.tags_cond ~= "and" and options.tags_cond ~= "or" then
    errors.tags_cond = "must be a either 'and' or 'or' when more than one tag is specified"
  end
  local page_size, most = pagination_of(options).page_size, pagination_of(options).max_page_size
  if most ~= nil and type(most) ~= "number" then
    errors.pagination = { max_page_size = "must be a number" }
  elseif most ~= nil and (most % 1 ~= 0 or most < 1) then
    errors.pagination = { max_page_size = "must be an integer greater than 0" }
  end
  most = not errors.pagination and most or MAX_PAGE_SIZE
  if page_size ~= nil and type(page_size) ~= "number" then
    errors.pagination = errors.pagination or {}
    errors.pagination.page_size = "must be a number"
  elseif page_size ~= nil and (page_size % 1 ~= 0 or page_size < 1 or page_size > most) then
    errors.pagination = errors.pagination or {}
    errors.pagination.page_size = "must be an integer between 1 and " .. most
  end
  for _, flag in ipairs { "show_ws_id", "transform", "export", "skip_ttl" } do
    if options[flag] ~= nil and type(options[flag]) ~= "boolean" then
      errors[flag] = "must be a boolean"
    end
  end
  return errors
end

-- The error for options that mean nothing for an entity, or are not what they must be.
function slot.refuse_options(schema, options, errors_of_data)
  if options == nil or type(options) ~= "table" then
    return
  end
  local errors = mistakes(schema, options)
  return next(errors) and errors_of_data():invalid_options(errors) or nil
end

-- What schemas of entities can do: the store judges records as it would before it keeps them, and the rest is what any
-- schema of code's own can.
function slot.add_judging(described, definition)
  local function judge(record)
    if type(record) ~= "table" then
      return nil, { ["@entity"] = { "expected a record" } }
    end
    local errors, err_t = slot.wait("db.validate", "", described.name, record)
    if errors == slot.null then
      return true
    end
    return nil, errors or { ["@entity"] = { tostring(err_t and err_t.message) } }
  end
  local methods = {}
  function methods.validate(_, record) return judge(record) end
  methods.validate_insert, methods.validate_upsert = methods.validate, methods.validate
  -- What is not changed need not be there.
  function methods.validate_update(_, record)
    local ok, errors = judge(record)
    for name in pairs(not ok and type(record) == "table" and errors or {}) do
      errors[name] = (name == "@entity" or record[name] ~= nil) and errors[name] or nil
    end
    if not ok and next(errors) then
      return nil, errors
    end
    return true
  end
  local whole
  setmetatable(described, { __index = function(_, name)
    if methods[name] then
      return methods[name]
    elseif type(name) ~= "string" or rawget(definition, name) ~= nil then
      return nil
    end
    whole = whole or require("kong.db.schema").new(definition)
    local method = whole[name]
    return type(method) == "function" and function(_, ...) return method(whole, ...) end or nil
  end })
end

-- Some of the records in the order of their keys, those after an offset, and the offset of what follows; nothing where
-- that is none.
function slot.page_of(rows, key_of, size, offset)
  local by_key, keys = {}, {}
  for i, row in ipairs(rows) do
    keys[i] = key_of(row)
    by_key[keys[i]] = row
  end
  table.sort(keys)
  local page, last, following = {}, nil, nil
  local after = offset and ngx.decode_base64(offset)
  if offset and not after then
    return nil
  end
  for _, key in ipairs(keys) do
    if not after or key > after then
      if #page == size then
        following = ngx.encode_base64(last)
        break
      end
      page[#page + 1], last = by_key[key], key
    end
  end
  return page, following
end
