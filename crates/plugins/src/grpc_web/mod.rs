//! `grpc-web`: browsers call services of gRPC, with messages in base64 or JSON where they want, and trailers behind the
//! content.

use crate::grpc::{Frames, Method, Schema, TRAILERS, frame};
use sdk::{
    Answer, Bytes, Config, Env, Exchange, Known, Phases, Plugin, PluginKind, Step, decode_base64, entities, field_value,
};

/// The plugin as the gateway knows it.
pub struct GrpcWeb;

struct Instance {
    schema: Option<Schema>,
    /// Methods are looked for by the path that the service gets.
    stripped: bool,
    origin: String,
}

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    base64: bool,
    json: bool,
    /// Messages have gRPC's prefix; otherwise there is one.
    framed: bool,
}

/// An exchange that is translated.
struct Translation {
    format: Format,
    content_type: String,
    method: Option<Method>,
    frames: Frames,
}

const METHODS: &[u8] = b"POST";
const HEADERS: &[u8] = b"content-type,x-grpc-web,x-user-agent";

impl PluginKind for GrpcWeb {
    fn name(&self) -> &'static str {
        "grpc-web"
    }

    fn priority(&self) -> i32 {
        3
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        Ok(Box::new(Instance {
            schema: config.text("proto").map(Schema::read).transpose()?,
            stripped: config.flag("pass_stripped_path"),
            origin: config.header_value("allow_origin_header")?.unwrap_or("*").to_owned(),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY).and(Phases::HEADER_FILTER).and(Phases::BODY_FILTER)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        exchange.reply.set("Access-Control-Allow-Origin", self.origin.as_bytes());
        if exchange.request.method.as_bytes() == b"OPTIONS" {
            return Step::Answer(
                Answer::new(200, "OK")
                    .with("Content-Type", b"application/grpc-web-text+proto")
                    .with("Access-Control-Allow-Methods", METHODS)
                    .with("Access-Control-Allow-Headers", HEADERS),
            );
        }
        if exchange.body.is_too_large() {
            return Step::Answer(Answer::error(exchange, 413, &Answer::status_message(413)));
        }
        match self.translate(exchange) {
            Ok((translation, message)) => {
                let fields = &mut exchange.request.fields;
                fields.set_known(Known::ContentType, b"application/grpc");
                fields.set_known(Known::Te, b"trailers");
                exchange.body = message.into();
                exchange.put(translation);
                Step::Next
            }
            Err(why) => {
                tracing::error!(request_id = exchange.id_str(), "a call cannot be translated: {why}");
                Step::Answer(Answer::new(400, why))
            }
        }
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let Some(translation) = exchange.state::<Translation>() else { return };
        let content_type = translation.content_type.clone();
        let fields = &mut exchange.response.fields;
        fields.set_known(Known::ContentType, content_type.as_bytes());
        fields.remove_known(Known::ContentLength);
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        let ending = last.then(|| ending(exchange));
        let Some(translation) = exchange.state::<Translation>() else { return piece };
        let mut out = translation.downstream(piece);
        if let Some(ending) = ending.filter(|_| translation.format.framed) {
            out.extend(translation.encode(frame(TRAILERS, &ending)));
        }
        out.into()
    }
}

impl Instance {
    /// How the exchange is translated, and the content that the service gets.
    fn translate(&self, exchange: &Exchange) -> Result<(Translation, Bytes), String> {
        const NO_SCHEMA: &str = "transcoding requests require a .proto file defining the service";
        let content_type = exchange.request.fields.known(Known::ContentType).unwrap_or_default();
        let format = Format::of(content_type);
        let method = match format.filter(|format| !format.json) {
            Some(_) => None,
            None => {
                let schema = self.schema.as_ref().ok_or(NO_SCHEMA)?;
                let path = if self.stripped { exchange.upstream.path.as_str() } else { &*exchange.path() };
                Some(schema.method(path).ok_or_else(|| format!("Unknown path \"{path}\""))?)
            }
        };
        let format = format.ok_or("unknown content type")?;
        let mut body = exchange.body.bytes().cloned().unwrap_or_default();
        if format.base64 {
            body = decode_base64(&body).ok_or("the content is not base64")?.into();
        }
        if let Some(method) = &method {
            let text = if format.framed { unframed(&body).ok_or("the content is no message")? } else { body };
            let value = serde_json::from_slice(&text).map_err(|error| format!("the content is not JSON: {error}"))?;
            body = frame(0, &method.request(&value)?).into();
        }
        let content_type = String::from_utf8_lossy(content_type).into_owned();
        Ok((Translation { format, content_type, method, frames: Frames::default() }, body))
    }
}

impl Format {
    fn of(content_type: &[u8]) -> Option<Format> {
        let (base64, json, framed) = match field_value::essence(content_type) {
            b"application/grpc-web" | b"application/grpc-web+proto" => (false, false, true),
            b"application/grpc-web-text" | b"application/grpc-web-text+proto" => (true, false, true),
            b"application/grpc-web+json" => (false, true, true),
            b"application/grpc-web-text+json" => (true, true, true),
            b"application/json" => (false, true, false),
            _ => return None,
        };
        Some(Format { base64, json, framed })
    }
}

impl Translation {
    /// A piece of the response as the client gets it.
    fn downstream(&mut self, piece: Bytes) -> Vec<u8> {
        let Some(method) = &self.method else { return self.encode(piece.to_vec()) };
        self.frames.push(&piece);
        let mut out = Vec::new();
        while let Some(message) = self.frames.next() {
            match method.response(&message) {
                Ok(text) if self.format.framed => out.extend(frame(0, &text)),
                Ok(text) => out.extend(text),
                Err(error) => tracing::error!("a message of a service is not what its schema says: {error}"),
            }
        }
        self.encode(out)
    }

    fn encode(&self, octets: Vec<u8>) -> Vec<u8> {
        use base64::Engine;
        match self.format.base64 && !octets.is_empty() {
            true => base64::engine::general_purpose::STANDARD.encode(octets).into(),
            false => octets,
        }
    }
}

/// The trailers, as content: those of gRPC first, then what else the service has sent, as details of an error. Where no
/// service has answered, the status of the response says what it is for a call, as in errors for calls of gRPC: Kong
/// says 0, which is success.
fn ending(exchange: &Exchange) -> Vec<u8> {
    let trailers = exchange.trailers.as_ref();
    let value =
        |name: &str| trailers.and_then(|trailers| trailers.get(name)).or_else(|| exchange.response.fields.get(name));
    let (code, name) = match exchange.response.status {
        200 => ("0", ""),
        status => Answer::grpc_status(status),
    };
    let status = value("grpc-status").unwrap_or(code.as_bytes());
    let message = value("grpc-message").unwrap_or(name.as_bytes());
    let mut content = [b"grpc-status:", status, b"\r\ngrpc-message:", message, b"\r\n"].concat();
    let others = trailers.into_iter().flat_map(|trailers| trailers.iter());
    let is_own = |name: &str| ["grpc-status", "grpc-message"].iter().any(|own| name.eq_ignore_ascii_case(own));
    for (name, value) in others.filter(|(name, _)| !is_own(name)) {
        content.extend_from_slice(name.to_ascii_lowercase().as_bytes());
        content.push(b':');
        content.extend_from_slice(value);
        content.extend_from_slice(b"\r\n");
    }
    content
}

fn unframed(body: &[u8]) -> Option<Bytes> {
    let mut frames = Frames::default();
    frames.push(body);
    frames.next()
}

#[cfg(test)]
mod tests;
