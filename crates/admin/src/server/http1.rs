//! HTTP/1.1 on a connection, and an end that lets the client read the last answer.

use super::connection::Transport;
use super::connections::Work;
use super::content::Content;
use super::framed::Framed;
use super::head::{self, Delimited};
use super::requests::Requests;
use super::stream::Watched;
use crate::options::Limits;
use crate::pictures::ResponseBody;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Version};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout, timeout_at};
use wire::RequestHead;
use wire::h1::RequestError;

/// A connection and its requests, one after the other.
struct Course {
    requests: Requests,
    work: Arc<Work>,
    framed: Framed,
    /// No request is under way.
    idle: AtomicBool,
    /// No request follows the present one.
    last: AtomicBool,
}

/// How a connection is left.
enum End {
    /// The client has read or gets all that it is sent.
    Quiet,
    /// It may still be sending what nobody has read.
    Unread,
    /// There is no way to it any more.
    Broken(io::Error),
}

/// Content of so many octets goes out with the head.
const SMALL: usize = 64 << 10;

/// Serves a connection until either side ends it, or it has to make room. `begun` is what has been read of it already.
pub async fn serve(requests: Requests, stream: Box<dyn Transport>, begun: Bytes) {
    let limits = *requests.limits();
    let mut stopped = requests.stopped.clone();
    let (work, activity) = (requests.work(), Arc::clone(&requests.activity));
    let mut framed = Framed::new(Watched::new(stream, begun, Arc::clone(&work), limits.send_timeout));
    let (idle, last) = (AtomicBool::new(true), AtomicBool::new(false));
    let course = Course { requests, work, framed: framed.clone(), idle, last };
    let mut run = Box::pin(course.run());
    let end = loop {
        tokio::select! {
            biased;
            end = &mut run => break end,
            () = activity.evicted() => {
                if activity.is_waiting() {
                    return;
                }
            }
            // Nothing is ever sent: the channel closes when the listener stops.
            _ = stopped.changed(), if !course.last.load(Ordering::Relaxed) => {}
        }
        course.last.store(true, Ordering::Relaxed);
        if course.idle.load(Ordering::Relaxed) {
            break End::Quiet;
        }
    };
    drop(run);
    course.work.wait();
    match end {
        End::Unread if !framed.has_ended() => tokio::select! {
            () = limits.lingering.close(&mut framed) => {}
            () = activity.evicted() => {}
        },
        End::Quiet | End::Unread => drop(framed.shutdown().await),
        End::Broken(error) => {
            let client = course.requests.origin.peer;
            tracing::debug!(%error, %client, "a connection to the admin listener ended early");
            let _ = framed.shutdown().await;
        }
    }
}

impl Course {
    async fn run(&self) -> End {
        let limits = self.requests.limits();
        let of_heads =
            wire::h1::Limits { line: limits.line.saturating_sub(2), head: limits.head, ..wire::h1::Limits::default() };
        let mut first = true;
        loop {
            let whole = Instant::now() + limits.client_header_timeout;
            let idle = if first { limits.client_header_timeout } else { limits.keepalive_timeout };
            self.idle.store(true, Ordering::Relaxed);
            let begins = timeout(idle, self.framed.begins()).await;
            self.idle.store(false, Ordering::Relaxed);
            if begins != Ok(true) {
                return End::Quiet;
            }
            let whole = if first { whole } else { Instant::now() + limits.client_header_timeout };
            first = false;
            let ended = match timeout_at(whole, self.framed.head(&of_heads)).await {
                Ok(Ok(head)) => self.exchange(&head).await,
                Ok(Err(RequestError::Head(error))) => self.refuse(head::refusal(error)).await,
                Ok(Err(RequestError::Closed | RequestError::TimedOut)) | Err(_) => return End::Quiet,
            };
            match ended {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) => return End::Broken(error),
            }
        }
    }

    /// One request and its response; how the connection ends if it does.
    async fn exchange(&self, head: &RequestHead) -> io::Result<Option<End>> {
        let Some(parts) = head::request(head) else { return self.refuse(Some((400, "Bad request"))).await };
        self.work.go_on();
        let number = self.requests.number();
        let asked = self.requests.asked(number, &parts);
        let (version, without_content) = (parts.version, parts.method == Method::HEAD);
        let waits_for_continue = self.framed.awaits_continue();
        let content = Content::new(self.framed.clone().boxed_unsync(), Arc::clone(&self.work));
        let mut rest = content.again();
        let mut response = self.requests.answer(Request::from_parts(parts, content)).await;
        // An answer can come before the content: it says then whether the connection outlives it. Whoever waits to be
        // told to go on need not send the content at all.
        let unread = rest.is_unread() && (waits_for_continue || !rest.finish().await);
        let last = unread || self.requests.is_worn(number) || self.last.load(Ordering::Relaxed) || !head.persists();
        let close = keep(self.requests.limits(), last, &mut response);
        self.requests.note(asked, &mut response);
        self.work.wait();
        let close = self.send(response, version, without_content).await? || close;
        Ok(match (close, self.framed.has_rest()) {
            (false, _) => None,
            (true, false) => Some(End::Quiet),
            (true, true) => Some(End::Unread),
        })
    }

    /// Answers a head that is no request's, and leaves the rest unread.
    async fn refuse(&self, refusal: Option<(u16, &'static str)>) -> io::Result<Option<End>> {
        if let Some((status, message)) = refusal {
            let response = self.requests.admin.refuse(self.requests.interface, &HeaderMap::new(), status, message);
            self.send(response, Version::HTTP_11, false).await?;
        }
        Ok(Some(End::Unread))
    }

    /// Sends a response; whether nothing but the end of the connection ends it.
    async fn send(&self, response: Response<ResponseBody>, version: Version, headless: bool) -> io::Result<bool> {
        let (head, mut content) = response.into_parts();
        let delimited = match content.size_hint().exact() {
            Some(length) => Delimited::Length(length),
            None if version == Version::HTTP_11 => Delimited::Chunked,
            None => Delimited::Close,
        };
        let streamed = !matches!(delimited, Delimited::Length(_));
        let mut framed = self.framed.clone();
        let mut out = Vec::with_capacity(1024);
        head::write(&head, delimited, &super::date(), &mut out);
        if !headless && head::may_have_content(head.status) {
            loop {
                if streamed {
                    framed.write_all(&out).await?;
                    framed.flush().await?;
                    out.clear();
                }
                let Some(Ok(frame)) = content.frame().await else { break };
                let data = frame.into_data().unwrap_or_default();
                if delimited == Delimited::Chunked && !data.is_empty() {
                    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                    out.extend_from_slice(&data);
                    out.extend_from_slice(b"\r\n");
                } else if data.len() <= SMALL {
                    out.extend_from_slice(&data);
                } else {
                    framed.write_all(&out).await?;
                    out.clear();
                    framed.write_all(&data).await?;
                }
            }
            if delimited == Delimited::Chunked {
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
        framed.write_all(&out).await?;
        framed.flush().await?;
        Ok(delimited == Delimited::Close)
    }
}

/// Says whether the connection goes on, and for how long.
fn keep(limits: &Limits, last: bool, response: &mut Response<ResponseBody>) -> bool {
    let headers = response.headers_mut();
    if last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let close = headers.get(CONNECTION).is_some_and(|value| value == "close");
    if let (Some(seconds), false) = (limits.keepalive_header, close)
        && let Ok(value) = HeaderValue::from_str(&format!("timeout={seconds}"))
    {
        headers.insert(HeaderName::from_static("keep-alive"), value);
    }
    close
}
