//! `websocket-validator`: messages of WebSockets that conform to schemas.

use crate::json_schema::{Draft, JsonSchema};
use sdk::{
    CloseReason, Config, Env, Exchange, Function, MessageKind, Phases, Plugin, PluginKind, Record, Verdict,
    WebSocketMessage, entities,
};
use serde_json::Value;

/// The plugin as the gateway knows it.
pub struct WebsocketValidator;

struct Instance {
    client: Schemas,
    upstream: Schemas,
}

/// What the messages of one side must be.
#[derive(Default)]
struct Schemas {
    text: Option<JsonSchema>,
    binary: Option<JsonSchema>,
}

impl PluginKind for WebsocketValidator {
    fn name(&self) -> &'static str {
        "websocket-validator"
    }

    fn priority(&self) -> i32 {
        1006
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("websocket_message_schema", Function::Check(check_schema))]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let side = |name: &str| -> Result<Schemas, String> {
            let Some(config) = plugin.config.get(name).and_then(Value::as_object) else {
                return Ok(Schemas::default());
            };
            let schema = |kind: &str| {
                let text = config.get(kind).and_then(|record| record.get("schema")).and_then(Value::as_str);
                let schema = text.map(|text| JsonSchema::parse(Draft::Draft4, text));
                schema.transpose().map_err(|error| format!("config.{name}.{kind}.schema: {error}"))
            };
            Ok(Schemas { text: schema("text")?, binary: schema("binary")? })
        };
        Ok(Box::new(Instance { client: side("client")?, upstream: side("upstream")? }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        let of = |schemas: &Schemas, phase| if schemas.is_empty() { Phases::NONE } else { phase };
        of(&self.client, Phases::WS_CLIENT_FRAME).and(of(&self.upstream, Phases::WS_UPSTREAM_FRAME))
    }

    fn ws_client_frame(&self, exchange: &mut Exchange, message: &mut WebSocketMessage) {
        self.client.validate(exchange, message);
    }

    fn ws_upstream_frame(&self, exchange: &mut Exchange, message: &mut WebSocketMessage) {
        self.upstream.validate(exchange, message);
    }
}

impl Schemas {
    fn is_empty(&self) -> bool {
        self.text.is_none() && self.binary.is_none()
    }

    fn validate(&self, exchange: &Exchange, message: &mut WebSocketMessage) {
        let schema = match message.kind {
            MessageKind::Text => &self.text,
            MessageKind::Binary => &self.binary,
            MessageKind::Ping | MessageKind::Pong | MessageKind::Close => return,
        };
        let Some(schema) = schema else { return };
        let fault = match serde_json::from_slice(&message.payload) {
            Ok(value) => schema.validate(&value),
            Err(_) => Err("it is not JSON".to_owned()),
        };
        if let Err(fault) = fault {
            tracing::debug!(request_id = exchange.id_str(), "websocket-validator: a message is refused: {fault}");
            message.verdict = Verdict::Close(
                CloseReason::new(CloseReason::INVALID_PAYLOAD, ""),
                CloseReason::new(CloseReason::GOING_AWAY, ""),
            );
        }
    }
}

fn check_schema(message: &Record) -> Result<(), String> {
    let text = Config::new(message).text("schema").unwrap_or_default();
    JsonSchema::parse(Draft::Draft4, text).map(drop).map_err(|error| format!("not a valid JSON schema: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::{Bytes, testing};
    use serde_json::json;

    #[test]
    fn messages_conform_to_the_schema_of_their_kind_and_side() {
        let named = json!({ "type": "draft4", "schema": r#"{"type": "object", "required": ["name"]}"# });
        let number = json!({ "type": "draft4", "schema": r#"{"type": "number"}"# });
        let config = json!({ "client": { "text": named }, "upstream": { "binary": number } });
        let plugin = testing::configure(&WebsocketValidator, config, &Env::default());
        let mut exchange = testing::exchange("GET", "/", &[]);
        let mut passes = |from_client: bool, kind, payload: &'static [u8]| {
            let mut message = WebSocketMessage::new(kind, Bytes::from_static(payload));
            match from_client {
                true => plugin.ws_client_frame(&mut exchange, &mut message),
                false => plugin.ws_upstream_frame(&mut exchange, &mut message),
            }
            message.verdict == Verdict::Forward
        };
        assert!(passes(true, MessageKind::Text, br#"{"name": 1}"#));
        assert!(!passes(true, MessageKind::Text, b"{}"));
        assert!(!passes(true, MessageKind::Text, b"{"));
        assert!(passes(true, MessageKind::Binary, b"{"));
        assert!(passes(true, MessageKind::Ping, b"{"));
        assert!(passes(false, MessageKind::Text, b"{"));
        assert!(passes(false, MessageKind::Binary, b"5"));
        assert!(!passes(false, MessageKind::Binary, b"{}"));
    }

    #[test]
    fn schemas_are_checked() {
        let check = |text: &str| {
            let record = json!({ "type": "draft4", "schema": text });
            check_schema(record.as_object().unwrap())
        };
        assert!(check(r#"{"type": "object"}"#).is_ok());
        assert!(check("{").is_err());
        assert!(check(r#"{"type": 5}"#).is_err());
    }
}
