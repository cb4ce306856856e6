-- `kong.websocket`.
local slot = ...
local pdk = slot.pdk
local type, error = type, error
local native = slot.native
local check, namespace, is_string, phases = pdk.check, pdk.namespace, pdk.is_string, pdk.phases

-- A side of a WebSocket. What code does with a message, it sees at once.
local function side(name, phase)
  local sees = phases[phase]
  local functions = namespace("websocket." .. name, sees, "get_frame drop_frame")
  namespace("websocket." .. name, phases.ws_handshake, "set_max_payload_size", functions)
  local asked = namespace("websocket." .. name, sees, "set_frame_data set_status close")
  local function status_of(status, what)
    if status ~= nil and (type(status) ~= "number" or status % 1 ~= 0 or status < 1000 or status > 4999) then
      error(what .. " must be an integer between 1000 and 4999", 3)
    end
  end
  local function text_of(text, what)
    if text ~= nil and type(text) ~= "string" then
      error(what .. " must be a string", 3)
    end
  end
  function functions.set_frame_data(data)
    check(sees)
    is_string(data, "data")
    return asked.set_frame_data(data)
  end
  function functions.set_status(status)
    check(sees)
    status_of(status, "status")
    return asked.set_status(status)
  end
  function functions.close(status, message, peer_status, peer_message)
    check(sees)
    status_of(status, "status")
    text_of(message, "message")
    status_of(peer_status, "peer_status")
    text_of(peer_message, "peer_message")
    return asked.close(status, message, peer_status, peer_message)
  end
  return functions
end
local websocket = { client = side("client", "ws_client_frame"), upstream = side("upstream", "ws_upstream_frame") }
slot.frame = native.ask("websocket.get_frame")

pdk.websocket = websocket
