//! `.proto` files: which methods there are, and their messages as JSON and back.

use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, SerializeOptions};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The services of a file and of what it imports.
pub struct Schema {
    pool: DescriptorPool,
}

/// A method of a service.
#[derive(Clone)]
pub struct Method {
    descriptor: MethodDescriptor,
}

/// Where imports are looked for, beside the file's own directory: where Kong has them.
const INCLUDES: [&str; 4] =
    ["/usr/local/kong/include", "/usr/local/kong/lib", "/usr/local/opt/protobuf/include", "/usr/include"];

impl Schema {
    /// Reads a file.
    pub fn read(path: &str) -> Result<Schema, String> {
        let path = std::path::absolute(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
        let failed = |error: protox::Error| format!("{}: {error}", path.display());
        let directory = path.parent().unwrap_or(Path::new("/"));
        let mut resolver = ChainFileResolver::new();
        for include in std::iter::once(directory.to_owned()).chain(INCLUDES.map(PathBuf::from)) {
            resolver.add(IncludeFileResolver::new(include));
        }
        resolver.add(GoogleFileResolver::new());
        resolver.add(Annotations);
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).open_file(&path).map_err(failed)?;
        Ok(Schema { pool: compiler.descriptor_pool() })
    }

    /// The method with that path (`/package.Service/Method`).
    pub fn method(&self, path: &str) -> Option<Method> {
        self.methods().find(|method| method.path() == path)
    }

    /// All methods.
    pub fn methods(&self) -> impl Iterator<Item = Method> {
        let methods = self.pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.map(|descriptor| Method { descriptor })
    }
}

impl Method {
    /// The path by which it is called.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.descriptor.parent_service().full_name(), self.descriptor.name())
    }

    /// Whether a request has that field; names of fields in fields are behind a dot.
    pub fn takes(&self, path: &str) -> bool {
        let mut message = Some(self.descriptor.input());
        path.split('.').all(|name| match message.take().and_then(|message| message.get_field_by_name(name)) {
            Some(field) => {
                message = field.kind().as_message().cloned();
                true
            }
            None => false,
        })
    }

    /// Whether such a field holds several values.
    pub fn repeats(&self, path: &str) -> bool {
        let (outer, name) = path.rsplit_once('.').map_or((None, path), |(outer, name)| (Some(outer), name));
        let mut message = Some(self.descriptor.input());
        for outer in outer.into_iter().flat_map(|outer| outer.split('.')) {
            let field = message.and_then(|message| message.get_field_by_name(outer));
            message = field.and_then(|field| field.kind().as_message().cloned());
        }
        message.and_then(|message| message.get_field_by_name(name)).is_some_and(|field| field.is_list())
    }

    /// The fields of a request with truth values in place of their words, as paths and queries have them.
    pub fn typed(&self, fields: Map<String, Value>) -> Map<String, Value> {
        typed(&self.descriptor.input(), fields)
    }

    /// The message of a request.
    pub fn request(&self, json: &Value) -> Result<Vec<u8>, String> {
        let message = DynamicMessage::deserialize(self.descriptor.input(), json).map_err(|error| error.to_string())?;
        Ok(message.encode_to_vec())
    }

    /// A message of a response, as JSON.
    pub fn response(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        json(self.descriptor.output(), message)
    }

    /// What `google.api.http` says of it, as JSON; `None`: nothing.
    pub fn http_rule(&self) -> Option<Value> {
        let extension = self.descriptor.parent_pool().get_extension_by_name("google.api.http")?;
        let options = self.descriptor.options();
        if !options.has_extension(&extension) {
            return None;
        }
        let rule = options.get_extension(&extension);
        serde_json::to_value(rule.as_message()?).ok()
    }
}

fn typed(message: &MessageDescriptor, fields: Map<String, Value>) -> Map<String, Value> {
    let truth = |value: Value| match value {
        Value::String(word) => Value::Bool(word != "0" && word != "false"),
        other => other,
    };
    let value = |name: &str, value: Value| match (message.get_field_by_name(name).map(|field| field.kind()), value) {
        (Some(Kind::Bool), Value::Array(list)) => list.into_iter().map(truth).collect(),
        (Some(Kind::Bool), value) => truth(value),
        (Some(Kind::Message(inner)), Value::Object(fields)) => Value::Object(typed(&inner, fields)),
        (_, value) => value,
    };
    fields.into_iter().map(|(name, given)| (name.clone(), value(&name, given))).collect()
}

/// As Kong: names as they are declared, and numbers as numbers.
fn json(descriptor: MessageDescriptor, message: &[u8]) -> Result<Vec<u8>, String> {
    let message = DynamicMessage::decode(descriptor, message).map_err(|error| error.to_string())?;
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false).skip_default_fields(false);
    let mut text = Vec::new();
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options)
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// Google's annotations of methods, where the machine has no file with them.
struct Annotations;

impl FileResolver for Annotations {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "google/api/annotations.proto" => File::from_source(name, include_str!("annotations.proto")),
            "google/api/http.proto" => File::from_source(name, include_str!("http.proto")),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}
