//! What a directive is: its name, where it may stand, how its words are read, and what becomes of it here.

/// One directive of nginx's, or one in some of its contexts.
#[derive(Debug)]
pub struct Directive {
    pub name: &'static str,
    /// Where it may stand with this meaning.
    pub contexts: Contexts,
    pub syntax: Syntax,
    pub effect: Effect,
    /// It keeps somebody out or something within bounds: where it has no effect, the start is refused.
    pub protective: bool,
    /// It may stand in a block several times.
    pub repeats: bool,
    /// A reload takes a new value, and what the files that it names hold by then.
    pub renewed: bool,
    /// What it does here, in Markdown, or why it does nothing.
    pub doc: &'static str,
}

/// The blocks of Kong's nginx configuration into which it writes directives (`nginx_<context>_<directive>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    Main,
    Events,
    Http,
    Upstream,
    /// The server of the proxy.
    Proxy,
    /// The location of the proxy through which requests pass.
    Location,
    /// The servers of the Admin and of the Status API.
    Admin,
    Status,
    Stream,
    StreamUpstream,
    StreamProxy,
}

/// A set of contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contexts(u16);

/// How the words of a directive are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// `on` or `off`.
    Flag,
    /// Octets: `8k`, `1m`.
    Size,
    /// How many, and octets of each.
    Buffers,
    /// `60s`, `1h 30m`, `500ms`.
    Time,
    Number,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A file or directory, relative to the prefix; perhaps with more words behind it.
    Path,
    /// So many words.
    Words(usize, usize),
}

/// What becomes of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The same as in Kong.
    Acts,
    /// Nothing, as in Kong: its own configuration goes before.
    Overruled,
    /// Nothing here.
    Absent,
}

pub const MAIN: Contexts = Context::Main.alone();
pub const EVENTS: Contexts = Context::Events.alone();
pub const HTTP: Contexts = Context::Http.alone();
pub const PROXY: Contexts = Context::Proxy.alone();
pub const LOCATION: Contexts = Context::Location.alone();
/// The servers of the Admin and of the Status API.
pub const APIS: Contexts = Context::Admin.alone().and(Context::Status.alone());
/// The block around the servers of streams.
pub const STREAM_BLOCK: Contexts = Context::Stream.alone();
pub const STREAMS: Contexts = Context::Stream.alone().and(Context::StreamProxy.alone());
pub const HTTP_AND_PROXY: Contexts = HTTP.and(PROXY);
/// The proxy's, from the outside in.
pub const PROXYING: Contexts = HTTP_AND_PROXY.and(LOCATION);
pub const SERVERS: Contexts = HTTP_AND_PROXY.and(APIS);
pub const SERVERS_AND_LOCATION: Contexts = SERVERS.and(LOCATION);

impl Context {
    /// All of them, by the prefixes of their keys.
    pub const ALL: [(&'static str, Context); 11] = [
        ("nginx_main_", Context::Main),
        ("nginx_events_", Context::Events),
        ("nginx_http_", Context::Http),
        ("nginx_upstream_", Context::Upstream),
        ("nginx_proxy_", Context::Proxy),
        ("nginx_location_", Context::Location),
        ("nginx_admin_", Context::Admin),
        ("nginx_status_", Context::Status),
        ("nginx_stream_", Context::Stream),
        ("nginx_supstream_", Context::StreamUpstream),
        ("nginx_sproxy_", Context::StreamProxy),
    ];

    const fn alone(self) -> Contexts {
        Contexts(1 << self as u16)
    }

    /// The context and the name of the directive that a key of `kong.conf` stands for.
    pub fn of_key(key: &str) -> Option<(Context, &str)> {
        Context::ALL.iter().find_map(|(prefix, context)| Some((*context, key.strip_prefix(prefix)?)))
    }

    pub fn is_of_streams(self) -> bool {
        matches!(self, Context::Stream | Context::StreamUpstream | Context::StreamProxy)
    }
}

impl Contexts {
    pub(super) const fn and(self, other: Contexts) -> Contexts {
        Contexts(self.0 | other.0)
    }

    pub fn has(self, context: Context) -> bool {
        self.0 & context.alone().0 != 0
    }

    /// Their keys' prefixes without `nginx_`, for the documentation.
    pub fn words(self) -> Vec<&'static str> {
        let of = Context::ALL.iter().filter(|(_, context)| self.has(*context));
        of.map(|(prefix, _)| prefix.trim_start_matches("nginx_").trim_end_matches('_')).collect()
    }
}

impl Directive {
    const fn new(name: &'static str, contexts: Contexts, syntax: Syntax, effect: Effect, doc: &'static str) -> Self {
        Directive { name, contexts, syntax, effect, protective: false, repeats: false, renewed: false, doc }
    }

    /// Whether the start is refused because of it.
    pub fn is_refused(&self) -> bool {
        self.protective && self.effect == Effect::Absent
    }

    pub(super) const fn protective(mut self) -> Directive {
        self.protective = true;
        self
    }

    pub(super) const fn repeats(mut self) -> Directive {
        self.repeats = true;
        self
    }

    pub(super) const fn renewed(mut self) -> Directive {
        self.renewed = true;
        self
    }
}

/// A directive with effect.
pub(super) const fn acts(name: &'static str, contexts: Contexts, syntax: Syntax, doc: &'static str) -> Directive {
    Directive::new(name, contexts, syntax, Effect::Acts, doc)
}

/// A directive that Kong's own configuration overrules.
pub(super) const fn overruled(name: &'static str, contexts: Contexts, doc: &'static str) -> Directive {
    Directive::new(name, contexts, Syntax::Words(0, usize::MAX), Effect::Overruled, doc)
}

/// A directive without effect.
pub(super) const fn absent(name: &'static str, contexts: Contexts, doc: &'static str) -> Directive {
    Directive::new(name, contexts, Syntax::Words(0, usize::MAX), Effect::Absent, doc)
}

/// A directive without effect that protects.
pub(super) const fn refused(name: &'static str, contexts: Contexts, doc: &'static str) -> Directive {
    absent(name, contexts, doc).protective()
}
