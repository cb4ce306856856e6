//! The messages of Kong's protocol for plugins in Go. Texts are octets, for what is in a request need not be UTF-8.

use prost::{Message, Oneof};

/// What we ask of a server.
#[derive(Clone, PartialEq, Message)]
pub struct Call {
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    #[prost(oneof = "Command", tags = "33, 35, 36")]
    pub command: Option<Command>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Command {
    #[prost(message, tag = "33")]
    StartInstance(StartInstance),
    #[prost(message, tag = "35")]
    CloseInstance(CloseInstance),
    #[prost(message, tag = "36")]
    HandleEvent(HandleEvent),
}

#[derive(Clone, PartialEq, Message)]
pub struct StartInstance {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CloseInstance {
    #[prost(int32, tag = "1")]
    pub instance: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct HandleEvent {
    #[prost(int32, tag = "1")]
    pub instance: i32,
    #[prost(string, tag = "2")]
    pub event: String,
}

/// What it answers.
#[derive(Clone, PartialEq, Message)]
pub struct Return {
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    #[prost(message, optional, tag = "33")]
    pub instance: Option<InstanceStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub struct InstanceStatus {
    #[prost(int32, tag = "2")]
    pub instance: i32,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(bytes = "vec", tag = "3")]
    Text(Vec<u8>),
    #[prost(bool, tag = "4")]
    Flag(bool),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
pub struct Struct {
    #[prost(message, repeated, tag = "1")]
    pub fields: Vec<Entry>,
}

/// A field of a [`Struct`].
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
}

/// `google.protobuf.ListValue`.
#[derive(Clone, PartialEq, Message)]
pub struct List {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Flag {
    #[prost(bool, tag = "1")]
    pub value: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Integer {
    #[prost(int32, tag = "1")]
    pub value: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Number {
    #[prost(double, tag = "1")]
    pub value: f64,
}

/// A text, or octets: on the wire they are the same.
#[derive(Clone, PartialEq, Message)]
pub struct Text {
    #[prost(bytes = "vec", tag = "1")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Exit {
    #[prost(int32, tag = "1")]
    pub status: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub body: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub headers: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Target {
    #[prost(bytes = "vec", tag = "1")]
    pub host: Vec<u8>,
    #[prost(int32, tag = "2")]
    pub port: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ConsumerSpec {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub by_username: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Authenticate {
    #[prost(message, optional, tag = "1")]
    pub consumer: Option<Consumer>,
    #[prost(message, optional, tag = "2")]
    pub credential: Option<Credential>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Consumer {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(int64, tag = "2")]
    pub created_at: i64,
    #[prost(string, tag = "3")]
    pub username: String,
    #[prost(string, tag = "4")]
    pub custom_id: String,
    #[prost(string, repeated, tag = "5")]
    pub tags: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Credential {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub consumer_id: String,
}

/// The content of a request or response, or why it is not there.
#[derive(Clone, PartialEq, Message)]
pub struct Content {
    #[prost(oneof = "ContentKind", tags = "1, 3")]
    pub kind: Option<ContentKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum ContentKind {
    #[prost(bytes = "vec", tag = "1")]
    Octets(Vec<u8>),
    #[prost(string, tag = "3")]
    Error(String),
}

#[derive(Clone, PartialEq, Message)]
pub struct Captures {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub unnamed: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    pub named: Vec<Capture>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Capture {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// The key of another record.
#[derive(Clone, PartialEq, Message)]
pub struct Reference {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Route {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(int64, tag = "2")]
    pub created_at: i64,
    #[prost(int64, tag = "3")]
    pub updated_at: i64,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(string, repeated, tag = "5")]
    pub protocols: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    pub methods: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    pub hosts: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    pub paths: Vec<String>,
    #[prost(int32, tag = "10")]
    pub https_redirect_status_code: i32,
    #[prost(int32, tag = "11")]
    pub regex_priority: i32,
    #[prost(bool, tag = "12")]
    pub strip_path: bool,
    #[prost(bool, tag = "13")]
    pub preserve_host: bool,
    #[prost(string, repeated, tag = "14")]
    pub snis: Vec<String>,
    #[prost(string, repeated, tag = "17")]
    pub tags: Vec<String>,
    #[prost(message, optional, tag = "18")]
    pub service: Option<Reference>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Service {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(int64, tag = "2")]
    pub created_at: i64,
    #[prost(int64, tag = "3")]
    pub updated_at: i64,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(int32, tag = "5")]
    pub retries: i32,
    #[prost(string, tag = "6")]
    pub protocol: String,
    #[prost(string, tag = "7")]
    pub host: String,
    #[prost(int32, tag = "8")]
    pub port: i32,
    #[prost(string, tag = "9")]
    pub path: String,
    #[prost(int32, tag = "10")]
    pub connect_timeout: i32,
    #[prost(int32, tag = "11")]
    pub write_timeout: i32,
    #[prost(int32, tag = "12")]
    pub read_timeout: i32,
    #[prost(string, repeated, tag = "13")]
    pub tags: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct MemoryStats {
    #[prost(message, repeated, tag = "2")]
    pub workers: Vec<WorkerMemory>,
}

#[derive(Clone, PartialEq, Message)]
pub struct WorkerMemory {
    #[prost(int64, tag = "1")]
    pub allocated: i64,
    #[prost(int64, tag = "2")]
    pub pid: i64,
}
