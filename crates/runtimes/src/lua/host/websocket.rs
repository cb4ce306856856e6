//! `kong.websocket`: the message that is on its way, and how large messages may be.

use super::{Arguments, Host, octets, unknown};
use mlua::{Error, IntoLuaMulti, Lua, MultiValue, Result};
use sdk::{CloseReason, MessageKind, Verdict, WebSocketLimits, WebSocketMessage};

/// As large as Kong lets messages be, in octets.
const LARGEST: i64 = 32 << 20;

impl Host {
    pub(super) fn websocket(
        &mut self,
        lua: &Lua,
        side: &str,
        function: &str,
        arguments: &Arguments<'_>,
    ) -> Result<MultiValue> {
        if function == "set_max_payload_size" {
            self.limit_messages(side == "websocket.client", arguments)?;
            return Ok(MultiValue::new());
        }
        let message = self.message.as_mut().ok_or_else(|| Error::runtime("there is no frame"))?;
        match function {
            "get_frame" => {
                let data = octets(lua, &message.payload)?;
                return (data, octets(lua, kind(message.kind))?, message.status).into_lua_multi(lua);
            }
            "set_frame_data" => {
                let data = arguments.text(0)?;
                if message.kind == MessageKind::Text && std::str::from_utf8(&data).is_err() {
                    return Err(Error::runtime("data of a text frame must be UTF-8"));
                }
                message.payload = data.into();
            }
            "set_status" if message.kind == MessageKind::Close => message.status = status(arguments, 0)?,
            "set_status" => return Err(Error::runtime("only the status of a close frame can be set")),
            "drop_frame" => message.verdict = Verdict::Drop,
            "close" => close(message, arguments)?,
            _ => return Err(unknown(arguments.name)),
        }
        Ok(MultiValue::new())
    }

    fn limit_messages(&mut self, is_client: bool, arguments: &Arguments<'_>) -> Result<()> {
        let size = arguments.integer(0)?;
        if !(1..=LARGEST).contains(&size) {
            return Err(Error::runtime(format!("size must be between 1 and {LARGEST}")));
        }
        let mut limits = self.exchange.take::<WebSocketLimits>().unwrap_or_default();
        *(if is_client { &mut limits.client } else { &mut limits.service }) = size as usize;
        self.exchange.put(limits);
        Ok(())
    }
}

/// Ends the WebSocket in place of the message, as usual where code does not say how.
fn close(message: &mut WebSocketMessage, arguments: &Arguments<'_>) -> Result<()> {
    const NORMAL: u16 = 1000;
    let reason = |at: usize| {
        let words = if arguments.value(at + 1).is_nil() { String::new() } else { arguments.str(at + 1)? };
        Ok::<_, Error>(CloseReason::new(status(arguments, at)?.unwrap_or(NORMAL), &words))
    };
    message.verdict = Verdict::Close(reason(0)?, reason(2)?);
    Ok(())
}

fn status(arguments: &Arguments<'_>, at: usize) -> Result<Option<u16>> {
    if arguments.value(at).is_nil() { Ok(None) } else { Ok(u16::try_from(arguments.integer(at)?).ok()) }
}

fn kind(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Text => "text",
        MessageKind::Binary => "binary",
        MessageKind::Ping => "ping",
        MessageKind::Pong => "pong",
        MessageKind::Close => "close",
    }
}
