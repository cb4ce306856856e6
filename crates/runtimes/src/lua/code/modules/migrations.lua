-- What migrations of plugins share: tables whose records belong to workspaces (Kong 2.1), and changes of configurations.
local name, slot = ...
local ipairs, concat = ipairs, table.concat
local modules = {}

-- Statements in which a name stands for each `<word>`.
local function filled(text, words) return (text:gsub("<(%l+)>", words)) end

-- A statement that changes nothing where what it makes is there already.
local function unless(condition, statement)
  return concat { "DO $migration$ BEGIN ", statement, " EXCEPTION WHEN ", condition, " THEN NULL; END $migration$;" }
end

local function done(_, err)
  if err then
    return nil, err
  end
  return true
end

local up = {}

function up.ws_add_workspaces()
  return filled([[
    CREATE TABLE IF NOT EXISTS workspaces (
      id UUID PRIMARY KEY, name TEXT UNIQUE, comment TEXT,
      created_at TIMESTAMP WITH TIME ZONE DEFAULT (CURRENT_TIMESTAMP(0) AT TIME ZONE 'UTC'), meta JSONB, config JSONB
    );
    INSERT INTO workspaces (id, name) VALUES ('<id>', 'default') ON CONFLICT DO NOTHING;
  ]], { id = require("kong.tools.uuid").uuid() })
end

-- Rows that there are belong to the default workspace.
function up.ws_add_ws_id(_, relation)
  local column = filled("EXECUTE format('ALTER TABLE IF EXISTS ONLY \"<relation>\" ADD ws_id UUID REFERENCES " ..
    "workspaces (id) DEFAULT %L', (SELECT id FROM workspaces WHERE name = 'default'));", { relation = relation })
  local pair = filled('ALTER TABLE IF EXISTS ONLY "<relation>" ADD CONSTRAINT "<relation>_id_ws_id_unique" ' ..
    "UNIQUE (id, ws_id);", { relation = relation })
  return unless("duplicate_column", column) .. "\n" .. unless("duplicate_table", pair)
end

function up.ws_unique_field(_, relation, field)
  local words = { relation = relation, field = field }
  return filled('ALTER TABLE IF EXISTS ONLY "<relation>" DROP CONSTRAINT IF EXISTS "<relation>_<field>_key";\n', words)
    .. unless("duplicate_table", filled('ALTER TABLE IF EXISTS ONLY "<relation>" ADD CONSTRAINT ' ..
      '"<relation>_ws_id_<field>_unique" UNIQUE (ws_id, "<field>");', words))
end

function up.ws_adjust_foreign_key(_, relation, field, target, is_cascade)
  local words = { relation = relation, field = field, target = target, follows = is_cascade and "ON DELETE CASCADE" or "" }
  return filled('ALTER TABLE IF EXISTS ONLY "<relation>" DROP CONSTRAINT IF EXISTS "<relation>_<field>_id_fkey";\n', words)
    .. unless("duplicate_object", filled('ALTER TABLE IF EXISTS ONLY "<relation>" ADD CONSTRAINT ' ..
      '"<relation>_<field>_id_fkey" FOREIGN KEY ("<field>_id", ws_id) REFERENCES <target> (id, ws_id) <follows>;', words))
end

function up.ws_adjust_fields(operations, entities)
  local statements = {}
  for _, entity in ipairs(entities) do
    statements[#statements + 1] = operations:ws_add_ws_id(entity.name)
    for _, key in ipairs(entity.fks or {}) do
      statements[#statements + 1] =
        operations:ws_adjust_foreign_key(entity.name, key.name, key.reference, key.on_delete == "cascade")
    end
    for _, field in ipairs(entity.uniques or {}) do
      statements[#statements + 1] = operations:ws_unique_field(entity.name, field)
    end
  end
  return concat(statements, "\n")
end

local teardown = {}

-- Keys of what is kept of a record end with its workspace.
function teardown.ws_update_composite_cache_key(_, connector, relation)
  return done(connector:query(filled([[UPDATE "<relation>" SET cache_key = cache_key || ':' || COALESCE((SELECT id::text
    FROM workspaces WHERE name = 'default'), '') WHERE cache_key LIKE '%:']], { relation = relation })))
end

function teardown.ws_update_keys(_, connector, relation)
  return done(connector:query(filled('ALTER TABLE IF EXISTS ONLY "<relation>" ALTER ws_id SET DEFAULT NULL',
    { relation = relation })))
end

local function adjust_cache_keys(operations, connector, entities)
  for _, entity in ipairs(entities) do
    if entity.cache_key and #entity.cache_key > 1 then
      local ok, err = operations:ws_update_composite_cache_key(connector, entity.name, entity.partitioned)
      if not ok then
        return nil, err
      end
    end
  end
  return true
end

function teardown.ws_adjust_data(operations, connector, entities)
  local ok, err = adjust_cache_keys(operations, connector, entities)
  for _, entity in ipairs(ok and entities or {}) do
    ok, err = operations:ws_update_keys(connector, entity.name, entity.uniques, entity.partitioned)
    if not ok then
      break
    end
  end
  return ok, err
end

-- Has a function change the configurations of a plugin; those for which it gives something are kept.
local function fixup_plugin_config(_, connector, plugin, fix)
  local rows, err = connector:query("SELECT id, config FROM plugins WHERE name = " .. connector:escape_literal(plugin))
  if not rows then
    return nil, err
  end
  for _, row in ipairs(rows) do
    if fix(row.config) then
      local config = slot.native.json_encode(row.config)
      local ok, failure = connector:query(("UPDATE plugins SET config = %s::jsonb WHERE id = %s"):format(
        connector:escape_literal(config), connector:escape_literal(row.id)))
      if not ok then
        return nil, failure
      end
    end
  end
  return true
end
teardown.fixup_plugin_config = fixup_plugin_config

modules["kong.db.migrations.operations.200_to_210"] = function()
  local function ws_migrate_plugin(entities)
    return { postgres = {
      up = up:ws_adjust_fields(entities),
      teardown = function(connector) return teardown:ws_adjust_data(connector, entities) end,
    } }
  end
  return { postgres = { up = up, teardown = teardown }, ws_migrate_plugin = ws_migrate_plugin }
end

modules["kong.db.migrations.operations.212_to_213"] = function()
  local of_keys = { ws_update_composite_cache_key = teardown.ws_update_composite_cache_key,
    ws_adjust_data = adjust_cache_keys }
  return { postgres = { up = "", teardown = of_keys } }
end

local function of_configurations() return { postgres = { up = {}, teardown = { fixup_plugin_config = fixup_plugin_config } } } end
modules["kong.db.migrations.operations.280_to_300"] = of_configurations
modules["kong.db.migrations.operations.331_to_332"] = of_configurations

-- Values as literals of SQL.
local function literal(text) return "'" .. text:gsub("'", "''") .. "'" end

modules["pgmoon.json"] = function()
  local json = slot.native
  return {
    encode_json = function(value, escape) return (escape or literal)(json.json_encode(value)) end,
    decode_json = function(text) return require("cjson").decode(text) end,
  }
end

modules["pgmoon.arrays"] = function()
  local function encode(list, escape)
    local items = {}
    for i, item in ipairs(list) do
      local kind = type(item)
      items[i] = kind == "table" and encode(item, escape) or kind == "string" and (escape or literal)(item) or tostring(item)
    end
    return "ARRAY[" .. concat(items, ",") .. "]"
  end
  return { encode_array = encode }
end

return modules[name]()
