//! The other two readers of HTTP/1.1: nginx as a proxy, set up as Kong sets it up, and a server on hyper.

use crate::recorder::Seen;
use blackbox::Nginx;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

/// A server that notes what it is asked.
pub struct Hyper {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// nginx in front of a service, which it asks for a request `tries` times at most.
pub fn nginx(service: SocketAddr, tries: usize) -> Nginx {
    Nginx::start(|folder, address| configuration(folder, address, service, tries))
}

impl Hyper {
    pub fn start() -> Hyper {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Hyper { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&server.seen);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let seen = Arc::clone(&seen);
                    tokio::spawn(async move {
                        let service = service_fn(|request| answer(request, &seen));
                        // What is wrong with a connection shows in what was answered.
                        let _ = http1::Builder::new()
                            .half_close(true)
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            });
        });
        server
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn answer(request: Request<Incoming>, seen: &Mutex<Vec<Seen>>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let target = request.uri().path_and_query().map_or_else(|| request.uri().to_string(), ToString::to_string);
    let host = request.headers().get("host").map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let method = request.method().to_string();
    let body = request.into_body().collect().await?.to_bytes().to_vec();
    seen.lock().unwrap().push(Seen { method, target, host: host.unwrap_or_default(), body });
    Ok(Response::new(Full::new(Bytes::from_static(b"ok"))))
}

/// What Kong's own template says where it matters for requests and responses.
fn configuration(folder: &str, address: SocketAddr, service: SocketAddr, tries: usize) -> String {
    let servers = format!("server {service} max_fails=0; ").repeat(tries);
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
  access_log off; underscores_in_headers on; client_max_body_size 0; keepalive_requests 10000; server_tokens off;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  map $http_upgrade $upstream_upgrade {{ default ''; '~*^websocket$' websocket; }}
  map $upstream_upgrade $upstream_connection {{ default keep-alive; websocket upgrade; }}
  map $http_host $upstream_host {{ default $http_host; '' {service}; }}
  upstream service {{ {servers} keepalive 16; }}
  server {{
    listen {address};
    error_page 494 =494 /refused;
    location = /refused {{ internal; return 494; }}
    location /own {{ return 404; }}
    location / {{
      proxy_pass http://service; proxy_http_version 1.1; proxy_ignore_client_abort on;
      proxy_set_header Host $upstream_host; proxy_set_header Upgrade $upstream_upgrade;
      proxy_set_header Connection $upstream_connection;
      proxy_set_header TE ''; proxy_set_header Proxy '';
    }}
  }}
}}
"
    )
}
