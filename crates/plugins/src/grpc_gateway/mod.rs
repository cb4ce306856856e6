//! `grpc-gateway`: clients of REST call services of gRPC, as the annotations of a `.proto` file say.

mod binding;

use crate::grpc::{Frames, Method, Schema, frame};
use binding::Binding;
use sdk::{Answer, Args, Bytes, Config, Env, Exchange, Known, Phases, Plugin, PluginKind, Step, entities};
use serde_json::{Map, Value};

/// The plugin as the gateway knows it.
pub struct GrpcGateway;

struct Instance {
    /// `None`: no file is named, and nothing can be translated.
    bindings: Option<Vec<Binding>>,
}

/// An exchange that is translated.
struct Translation {
    method: Method,
    frames: Frames,
    /// Something of the response could be translated.
    translated: bool,
}

impl PluginKind for GrpcGateway {
    fn name(&self) -> &'static str {
        "grpc-gateway"
    }

    fn priority(&self) -> i32 {
        998
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let bindings = match config.text("proto") {
            Some(path) => Some(Binding::all(&Schema::read(path)?)?),
            None => None,
        };
        Ok(Box::new(Instance { bindings }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY).and(Phases::HEADER_FILTER).and(Phases::BODY_FILTER)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        exchange.reply.set("Access-Control-Allow-Origin", b"*");
        if exchange.request.method.as_bytes() == b"OPTIONS" {
            return Step::Answer(
                Answer::new(200, "OK")
                    .with("Content-Type", b"application/json")
                    .with("Access-Control-Allow-Methods", b"GET,POST,PATCH,DELETE")
                    .with("Access-Control-Allow-Headers", b"content-type"),
            );
        }
        if exchange.body.is_too_large() {
            return Step::Answer(Answer::error(exchange, 413, &Answer::status_message(413)));
        }
        match self.translate(exchange) {
            Ok((method, message)) => {
                let fields = &mut exchange.request.fields;
                fields.set_known(Known::ContentType, b"application/grpc");
                fields.set_known(Known::Te, b"trailers");
                exchange.upstream.path = method.path();
                exchange.upstream.query = None;
                exchange.upstream.method = Some("POST".to_owned());
                exchange.body = Bytes::from(frame(0, &message)).into();
                exchange.put(Translation { method, frames: Frames::default(), translated: false });
                Step::Next
            }
            Err(why) => {
                tracing::error!(request_id = exchange.id_str(), "a request cannot be translated: {why}");
                Step::Answer(Answer::new(400, why))
            }
        }
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        if exchange.state::<Translation>().is_none() {
            return;
        }
        let response = &mut exchange.response;
        response.fields.set_known(Known::ContentType, b"application/json");
        response.fields.remove_known(Known::ContentLength);
        if let Some(status) = response.fields.get_str("grpc-status").and_then(|text| text.trim().parse().ok()) {
            response.status = http_status(status);
        }
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        let Some(translation) = exchange.state::<Translation>() else { return piece };
        translation.frames.push(&piece);
        let mut out = Vec::new();
        while let Some(message) = translation.frames.next() {
            match translation.method.response(&message) {
                Ok(text) => out.extend(text),
                Err(error) => tracing::error!("a message of a service is not what its schema says: {error}"),
            }
        }
        translation.translated |= !out.is_empty();
        if last && !translation.translated {
            // What was no message at all is the client's to see.
            out = translation.frames.rest();
        }
        out.into()
    }
}

impl Instance {
    /// The method for a request, and its message.
    fn translate(&self, exchange: &Exchange) -> Result<(Method, Vec<u8>), String> {
        let bindings =
            self.bindings.as_ref().ok_or("transcoding requests require a .proto file defining the service")?;
        let method = exchange.request.method.as_str().to_ascii_lowercase();
        let (path, failed) = (exchange.path(), "failed to transcode .proto file");
        let mut known = bindings.iter().filter(|binding| binding.http_method == method).peekable();
        if known.peek().is_none() {
            return Err(format!("{failed} Unknown method \"{method}\""));
        }
        let (binding, variables) = known
            .find_map(|binding| Some((binding, binding.matches(&path)?)))
            .ok_or_else(|| format!("{failed} Unknown path \"{path}\""))?;
        let mut payload = Map::new();
        for (name, value) in variables {
            put(&mut payload, &name, Value::String(value), false);
        }
        match &binding.body {
            Some(variable) => {
                let body = exchange.body.bytes().map_or(&b""[..], |body| body);
                if !body.is_empty() {
                    let body = serde_json::from_slice(body).map_err(|error| format!("decode json err: {error}"))?;
                    match (variable.as_str(), body) {
                        ("*", Value::Object(members)) => payload.extend(members),
                        ("*", _) => return Err("body must be a table".to_owned()),
                        (name, body) => put(&mut payload, name, body, false),
                    }
                }
            }
            None => {
                for (name, value) in Args::parse(exchange.request.query().unwrap_or_default()).iter() {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    if binding.method.takes(&name) {
                        let value = value.map_or_else(|| "true".into(), |value| String::from_utf8_lossy(&value).into());
                        put(&mut payload, &name, Value::String(value), binding.method.repeats(&name));
                    }
                }
            }
        }
        let payload = binding.method.typed(payload);
        let message = binding.method.request(&Value::Object(payload)).map_err(|error| {
            tracing::error!(request_id = exchange.id_str(), "{error}");
            "failed to encode payload"
        })?;
        Ok((binding.method.clone(), message))
    }
}

/// Sets a field, or adds to one that `repeats`; names of fields in fields are behind a dot.
fn put(payload: &mut Map<String, Value>, path: &str, value: Value, repeats: bool) {
    match path.split_once('.') {
        None if repeats => {
            if let Value::Array(list) = payload.entry(path).or_insert_with(|| Value::Array(Vec::new())) {
                list.push(value);
            }
        }
        None => {
            payload.insert(path.to_owned(), value);
        }
        Some((outer, inner)) => {
            let entry = payload.entry(outer).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(within) = entry {
                put(within, inner, value, repeats);
            }
        }
    }
}

/// The HTTP status for one of gRPC's, as Kong has it.
fn http_status(grpc: u32) -> u16 {
    match grpc {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests;
