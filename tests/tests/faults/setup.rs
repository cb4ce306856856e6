//! One case: a client, the gateway (or nginx, which is the measure), and services that the case drives itself.

use blackbox::http::{self, Connection};
use blackbox::socket::Wire;
use blackbox::tls::{Client, Offer, Pair};
use blackbox::{Nginx, Node, Service};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long may take what the settings of a case allow one or two seconds.
pub const SOON: Duration = Duration::from_secs(8);

/// What protects from slow peers, in seconds instead of minutes.
pub const SHORT: &[(&str, &str)] = &[
    ("nginx_http_client_header_timeout", "2s"),
    ("nginx_http_client_body_timeout", "2s"),
    ("nginx_http_send_timeout", "2s"),
    ("nginx_http_keepalive_timeout", "30s"),
];

/// What is between client and service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Plain,
    /// TLS from the client.
    Tls,
    /// TLS from the client and to the service.
    BothTls,
    /// nginx in place of the gateway: what is expected is what it does.
    Nginx,
}

/// How gateway and nginx are set up for a case.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// Of the node; nginx gets those that are its directives.
    pub settings: &'static [(&'static str, &'static str)],
    /// The service's three.
    pub timeout: Duration,
    /// Of the route.
    pub request_buffering: bool,
    pub response_buffering: bool,
    /// Forms for `POST /plugins`.
    pub plugins: &'static [&'static str],
    /// How many services there are; more than one are targets of an upstream.
    pub services: usize,
    /// `healthchecks.passive.unhealthy.…` of the upstream; the service is an upstream's then too.
    pub unhealthy: Option<&'static str>,
}

/// Kong's defaults.
pub const USUAL: Configuration = Configuration {
    settings: SHORT,
    timeout: Duration::from_secs(60),
    request_buffering: true,
    response_buffering: true,
    plugins: &[],
    services: 1,
    unhealthy: None,
};

/// Nothing is held back in either direction.
pub const STREAMED: Configuration = Configuration { request_buffering: false, response_buffering: false, ..USUAL };

/// Everything a case needs, running.
pub struct Setup {
    pub over: Over,
    pub services: Vec<Service>,
    gateway: Gateway,
    tls: Client,
}

/// What the access log says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub status: u16,
    pub content: u64,
}

enum Gateway {
    Node(Node),
    Nginx(Nginx),
}

/// Plays a case over plain and TLS clients, and with nginx.
#[track_caller]
pub fn as_nginx(configuration: &Configuration, case: fn(&Setup)) {
    play(configuration, &[Over::Plain, Over::Tls, Over::Nginx], case);
}

/// The same, and with services that speak TLS.
#[track_caller]
pub fn everywhere(configuration: &Configuration, case: fn(&Setup)) {
    play(configuration, &[Over::Plain, Over::Tls, Over::BothTls, Over::Nginx], case);
}

/// Plays a case that nginx knows nothing of, or does otherwise.
#[track_caller]
pub fn without_nginx(configuration: &Configuration, case: fn(&Setup)) {
    play(configuration, &[Over::Plain, Over::Tls, Over::BothTls], case);
}

#[track_caller]
fn play(configuration: &Configuration, over: &[Over], case: fn(&Setup)) {
    let failed: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> =
            over.iter().map(|&over| (over, scope.spawn(move || case(&Setup::start(configuration, over))))).collect();
        runs.into_iter().filter_map(|(over, run)| run.join().is_err().then_some(over)).collect()
    });
    assert!(failed.is_empty(), "fails over {failed:?}");
}

impl Setup {
    fn start(configuration: &Configuration, over: Over) -> Setup {
        let service = || match over {
            Over::BothTls => Service::start_tls(&Pair::authority("service").issue(&["service.test"])),
            _ => Service::start(),
        };
        let services: Vec<_> = (0..configuration.services).map(|_| service()).collect();
        let gateway = match over {
            Over::Nginx => {
                Gateway::Nginx(Nginx::start(|folder, address| directives(configuration, folder, address, &services)))
            }
            _ => Gateway::Node(node(configuration, &services)),
        };
        Setup { over, services, gateway, tls: Client::new(&Offer::default()) }
    }

    /// The first service, mostly the only one.
    pub fn service(&self) -> &Service {
        &self.services[0]
    }

    /// A client's connection.
    pub fn connect(&self) -> Connection<Wire> {
        let connection = match &self.gateway {
            Gateway::Nginx(nginx) => Connection::plain(nginx.address),
            Gateway::Node(node) if self.over == Over::Plain => Connection::plain(node.proxy()),
            Gateway::Node(node) => self.tls.connect(node.proxy_tls()),
        };
        connection.expect("it listens")
    }

    /// A connection to the client's port on which nobody speaks TLS.
    pub fn connect_bare(&self) -> Connection<Wire> {
        Connection::plain(match &self.gateway {
            Gateway::Nginx(nginx) => nginx.address,
            Gateway::Node(node) if self.over == Over::Plain => node.proxy(),
            Gateway::Node(node) => node.proxy_tls(),
        })
        .expect("it listens")
    }

    /// A client's connection on which a head has been sent.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Connection<Wire> {
        let mut client = self.connect();
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: front.test\r\n{lines}\r\n");
        client.send_raw(head.as_bytes()).expect("it listens");
        client
    }

    /// The node, where nginx is not in its place.
    pub fn node(&self) -> &Node {
        match &self.gateway {
            Gateway::Node(node) => node,
            Gateway::Nginx(_) => panic!("no case for nginx"),
        }
    }

    /// What the access log says of a request with that target, once it says it.
    #[track_caller]
    pub fn logged(&self, target: &str) -> Logged {
        self.logged_within(target, SOON).unwrap_or_else(|| panic!("no line for {target}"))
    }

    /// The same, if it says it within so long.
    pub fn logged_within(&self, target: &str, longest: Duration) -> Option<Logged> {
        let end = Instant::now() + longest;
        loop {
            let text = std::fs::read_to_string(self.access_log()).unwrap_or_default();
            let found = text.lines().find_map(|line| {
                let (_, rest) = line.split_once(&format!(" {target} HTTP/1.1\" "))?;
                let mut words = rest.split(' ');
                Some(Logged { status: words.next()?.parse().ok()?, content: words.next()?.parse().ok()? })
            });
            if found.is_some() || Instant::now() > end {
                return found;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// What the Admin API says of a target's health.
    pub fn health(&self, number: usize) -> String {
        let all = http::get(self.node().admin(), "/upstreams/u/health").expect(200).json();
        let target = self.services[number].address.to_string();
        let found = all["data"].as_array().and_then(|all| all.iter().find(|t| t["target"] == target));
        found.and_then(|t| t["health"].as_str()).unwrap_or_default().to_owned()
    }

    fn access_log(&self) -> PathBuf {
        match &self.gateway {
            Gateway::Node(node) => node.prefix().join("logs/access.log"),
            Gateway::Nginx(nginx) => nginx.prefix().join("access.log"),
        }
    }
}

fn node(configuration: &Configuration, services: &[Service]) -> Node {
    let node = Node::start(configuration.settings);
    let post = |path: &str, body: &str| {
        http::form(node.admin(), "POST", path, body).expect(201);
    };
    let protocol = if services[0].tls { "https" } else { "http" };
    let upstream = configuration.unhealthy.is_some() || services.len() > 1;
    if upstream {
        let checks = configuration.unhealthy.map_or(String::new(), |counter| {
            format!("&healthchecks.passive.type={protocol}&healthchecks.passive.unhealthy.{counter}")
        });
        post("/upstreams", &format!("name=u{checks}"));
        for service in services {
            post("/upstreams/u/targets", &format!("target={}", service.address));
        }
    }
    let (host, port) = match upstream {
        true => ("u".to_owned(), 80),
        false => (services[0].address.ip().to_string(), services[0].address.port()),
    };
    let timeout = configuration.timeout.as_millis();
    post(
        "/services",
        &format!(
            "name=s&protocol={protocol}&host={host}&port={port}\
             &connect_timeout={timeout}&write_timeout={timeout}&read_timeout={timeout}"
        ),
    );
    post(
        "/services/s/routes",
        &format!(
            "name=r&paths[]=/&strip_path=false&request_buffering={}&response_buffering={}",
            configuration.request_buffering, configuration.response_buffering
        ),
    );
    for plugin in configuration.plugins {
        post("/plugins", plugin);
    }
    node
}

/// The same for nginx, with what Kong's template says besides.
fn directives(configuration: &Configuration, folder: &str, address: SocketAddr, services: &[Service]) -> String {
    let directives = |prefix: &str| {
        let mut text = String::new();
        for (name, value) in configuration.settings {
            if let Some(name) = name.strip_prefix(prefix)
                && name != "log_format"
            {
                let _ = writeln!(text, "  {name} {value};");
            }
        }
        text
    };
    let servers: String = services.iter().map(|s| format!("server {} max_fails=0; ", s.address)).collect();
    let seconds = configuration.timeout.as_secs();
    let switch = |on: bool| if on { "on" } else { "off" };
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
  log_format line '\"$request\" $status $body_bytes_sent'; access_log {folder}/access.log line;
  underscores_in_headers on; server_tokens off; keepalive_requests 10000; {}
  {}
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  map $http_upgrade $upstream_upgrade {{ default ''; '~*^websocket$' websocket; }}
  map $upstream_upgrade $upstream_connection {{ default keep-alive; websocket upgrade; }}
  upstream service {{ {servers} keepalive 16; }}
  server {{
    listen {address};
{}
    proxy_connect_timeout {seconds}s; proxy_send_timeout {seconds}s; proxy_read_timeout {seconds}s;
    proxy_request_buffering {}; proxy_buffering {};
    location / {{
      proxy_pass http://service; proxy_http_version 1.1;
      proxy_set_header Host $http_host; proxy_set_header Upgrade $upstream_upgrade;
      proxy_set_header Connection $upstream_connection;
      proxy_set_header TE ''; proxy_set_header Proxy '';
    }}
  }}
}}
",
        if configuration.settings.iter().any(|(name, _)| *name == "nginx_http_client_max_body_size") {
            ""
        } else {
            "client_max_body_size 0;"
        },
        directives("nginx_http_"),
        directives("nginx_proxy_"),
        switch(configuration.request_buffering),
        switch(configuration.response_buffering),
    )
}
