//! The variables that a format can name: nginx's, and Kong's own. Those that follow from the exchange alone are
//! [`sdk::variables`].

use sdk::variables::Variable as OfExchange;
use wire::proxy_protocol::Addition;

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// One that nginx has and that never has a value here, and why.
    Absent(&'static str),
    Args,
    Arg(String),
    BodyBytesSent,
    BytesSent,
    Connection,
    ConnectionRequests,
    Cookie(String),
    Host,
    Hostname,
    Https,
    IsArgs,
    LimitRate,
    LocalAddress,
    LocalPort,
    Milliseconds,
    OfExchange(OfExchange),
    OfferedCiphers,
    OfferedCurves,
    PeerAddress,
    PeerPort,
    Pid,
    Pipelined,
    Protocol,
    ProxyProtocolAddition(Addition),
    ProxyProtocolAddress,
    ProxyProtocolPort,
    ProxyProtocolServerAddress,
    ProxyProtocolServerPort,
    RemoteAddress,
    RemotePort,
    RemoteUser,
    Request,
    /// A field line of the request.
    RequestField(String),
    RequestId,
    RequestLength,
    RequestMethod,
    RequestTime,
    RequestUri,
    /// A field line of the response.
    ResponseField(String),
    Scheme,
    ServerName,
    ServerNameAsked,
    Status,
    TimeIso8601,
    TimeLocal,
    TransportProtocol,
    UpstreamAddress,
    UpstreamResponseTime,
    UpstreamStatus,
    Uri,
}

/// Request lines that the proxy rewrites on their way to the service: what the client sent has to be kept for the log.
const REWRITTEN: &[&str] = &[
    "host",
    "connection",
    "upgrade",
    "te",
    "via",
    "expect",
    "content-length",
    "transfer-encoding",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-kong-request-id",
    "keep-alive",
    "proxy-connection",
    "trailer",
];

/// Variables of nginx that stand for what is not there, or is not known, and why.
const ABSENT: &[(&[&str], &str)] = &[
    (
        &["tcpinfo_rtt", "tcpinfo_rttvar", "tcpinfo_snd_cwnd", "tcpinfo_rcv_space"],
        "what the kernel measures of a connection is not asked for",
    ),
    (&["ssl_session_id"], "the TLS library does not tell ids of sessions"),
    (&["request_body_file"], "files with contents have no names"),
    (&["document_root", "realpath_root", "request_filename"], "no files are served"),
    (&["limit_req_status", "limit_conn_status"], "rate-limiting is a plugin"),
    (
        &["connections_active", "connections_reading", "connections_writing", "connections_waiting"],
        "`/status` of the Admin API and of the Status API tells it",
    ),
];

impl Variable {
    /// By its name without the `$`; `None` for one that we do not know.
    pub fn parse(name: &str) -> Option<Variable> {
        let field = |name: &str| name.replace('_', "-");
        Some(match name {
            "args" | "query_string" => Variable::Args,
            "body_bytes_sent" => Variable::BodyBytesSent,
            "bytes_sent" => Variable::BytesSent,
            "connection" => Variable::Connection,
            "connection_requests" => Variable::ConnectionRequests,
            "content_length" | "content_type" => Variable::RequestField(field(name)),
            "host" => Variable::Host,
            "hostname" => Variable::Hostname,
            "https" => Variable::Https,
            "is_args" => Variable::IsArgs,
            "limit_rate" => Variable::LimitRate,
            "kong_request_id" | "request_id" => Variable::RequestId,
            "msec" => Variable::Milliseconds,
            "pid" => Variable::Pid,
            "pipe" => Variable::Pipelined,
            "protocol" => Variable::TransportProtocol,
            "proxy_protocol_addr" => Variable::ProxyProtocolAddress,
            "proxy_protocol_port" => Variable::ProxyProtocolPort,
            "proxy_protocol_server_addr" => Variable::ProxyProtocolServerAddress,
            "proxy_protocol_server_port" => Variable::ProxyProtocolServerPort,
            "realip_remote_addr" => Variable::PeerAddress,
            "realip_remote_port" => Variable::PeerPort,
            "remote_addr" => Variable::RemoteAddress,
            "remote_port" => Variable::RemotePort,
            "remote_user" => Variable::RemoteUser,
            "request" => Variable::Request,
            "request_length" | "bytes_received" => Variable::RequestLength,
            "request_method" => Variable::RequestMethod,
            "request_time" | "session_time" => Variable::RequestTime,
            "request_uri" => Variable::RequestUri,
            "scheme" => Variable::Scheme,
            "server_addr" => Variable::LocalAddress,
            "server_name" => Variable::ServerName,
            "server_port" => Variable::LocalPort,
            "server_protocol" => Variable::Protocol,
            "ssl_ciphers" => Variable::OfferedCiphers,
            "ssl_curves" => Variable::OfferedCurves,
            "ssl_server_name" => Variable::ServerNameAsked,
            "status" => Variable::Status,
            "time_iso8601" => Variable::TimeIso8601,
            "time_local" => Variable::TimeLocal,
            "upstream_addr" => Variable::UpstreamAddress,
            // The word of nginx's streams for the same.
            "upstream_first_byte_time" => Variable::OfExchange(OfExchange::parse("upstream_header_time")?),
            "upstream_response_time" | "upstream_session_time" => Variable::UpstreamResponseTime,
            "upstream_status" => Variable::UpstreamStatus,
            "uri" | "document_uri" => Variable::Uri,
            _ => {
                if let Some((_, why)) = ABSENT.iter().find(|(names, _)| names.contains(&name)) {
                    return Some(Variable::Absent(why));
                }
                if let Some(variable) = OfExchange::parse(name) {
                    return Some(Variable::OfExchange(variable));
                }
                let after = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
                if let Some(name) = after("sent_http_").or_else(|| after("upstream_http_")) {
                    Variable::ResponseField(field(name))
                } else if let Some(name) = after("http_") {
                    Variable::RequestField(field(name))
                } else if let Some(name) = after("proxy_protocol_tlv_") {
                    Variable::ProxyProtocolAddition(Addition::parse(name)?)
                } else if let Some(name) = after("cookie_") {
                    Variable::Cookie(name.to_owned())
                } else {
                    Variable::Arg(after("arg_")?.to_owned())
                }
            }
        })
    }

    /// The request line that must be kept from before the request is made one for the service.
    pub fn rewritten(&self) -> Option<&str> {
        match self {
            Variable::Host => Some("host"),
            Variable::OfExchange(OfExchange::ProxyAddForwardedFor) => Some("x-forwarded-for"),
            Variable::RequestField(name) if REWRITTEN.contains(&name.as_str()) => Some(name),
            _ => None,
        }
    }

    /// Why it never has a value, where that is so.
    pub fn absence(&self) -> Option<&'static str> {
        if let Variable::Absent(why) = self { Some(why) } else { None }
    }

    /// Whether it needs what the client offers in TLS.
    pub fn is_offer(&self) -> bool {
        matches!(self, Variable::OfferedCiphers | Variable::OfferedCurves)
    }

    /// Whether it needs the content of the request.
    pub fn is_content(&self) -> bool {
        *self == Variable::OfExchange(OfExchange::RequestBody)
    }
}
