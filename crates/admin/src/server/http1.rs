//! HTTP/1.1 on a connection, and an end that lets the client read the last answer.

use super::connection::Transport;
use super::connections::Work;
use super::content::Content;
use super::requests::Requests;
use super::stream::Watched;
use crate::content::BodyError;
use crate::options::Limits;
use crate::pictures::ResponseBody;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, EXPECT, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// hyper takes no smaller one.
const LEAST_BUFFER: usize = 8192;

/// What a connection's requests, one after the other, leave behind for its end.
struct Course {
    requests: Requests,
    work: Arc<Work>,
    /// No request follows the present one.
    last: AtomicBool,
    /// The client may still be sending what nobody has read.
    unread: AtomicBool,
}

/// Serves a connection until either side ends it, or it has to make room. `begun` is what has been read of it already.
pub async fn serve(requests: Requests, stream: Box<dyn Transport>, begun: Bytes) {
    let limits = *requests.limits();
    let mut stopped = requests.stopped.clone();
    let (work, activity) = (requests.work(), Arc::clone(&requests.activity));
    let stream = Watched::new(stream, begun, Arc::clone(&work), limits.send_timeout);
    let course = Arc::new(Course { requests, work, last: AtomicBool::new(false), unread: AtomicBool::new(false) });
    let of_requests = Arc::clone(&course);
    let service = service_fn(move |request| {
        let answered = Arc::clone(&of_requests).answer(request);
        let answered: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async { Ok::<_, Infallible>(answered.await) });
        answered
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // An idle connection waits for a head too.
        .header_read_timeout(match limits.keepalive_timeout {
            Duration::ZERO => limits.client_header_timeout,
            idle => limits.client_header_timeout.min(idle),
        })
        .max_buf_size(limits.head.max(LEAST_BUFFER))
        .keep_alive(!limits.keepalive_timeout.is_zero())
        // A client that has sent its request and says that no more comes (`nc -N`) waits for the answer; and a write
        // that has begun is not left alone by whoever goes away.
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let ended = loop {
        let last = course.last.load(Ordering::Relaxed);
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            // Nothing is ever sent: the channel closes when the listener stops.
            _ = stopped.changed(), if !last => {}
            () = activity.evicted() => {
                if activity.is_waiting() {
                    return;
                }
            }
        }
        course.last.store(true, Ordering::Relaxed);
        Pin::new(&mut connection).graceful_shutdown();
    };
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    let refused = ended.as_ref().is_err_and(hyper::Error::is_parse);
    if let Err(error) = &ended {
        let client = course.requests.origin.peer;
        tracing::debug!(%error, %client, "a connection to the admin listener ended early");
    }
    if stream.has_ended() || ended.is_err() && !refused {
        let _ = stream.shutdown().await;
        return;
    }
    if refused || course.unread.load(Ordering::Relaxed) || !parts.read_buf.is_empty() {
        course.work.wait();
        tokio::select! {
            () = limits.lingering.close(&mut stream) => {}
            () = activity.evicted() => {}
        }
    } else {
        let _ = stream.shutdown().await;
    }
}

impl Course {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<ResponseBody> {
        self.work.go_on();
        let (head, content) = request.into_parts();
        let number = self.requests.number();
        let asked = self.requests.asked(number, &head);
        let waits_for_continue = head.headers.contains_key(EXPECT);
        let content = content.map_err(|error| BodyError(error.to_string())).boxed_unsync();
        let content = Content::new(content, Arc::clone(&self.work));
        let mut rest = content.again();
        let mut response = self.requests.answer(Request::from_parts(head, content)).await;
        // An answer can come before the content: it says then whether the connection outlives it. Whoever waits to be
        // told to go on need not send the content at all.
        if rest.is_unread() && (waits_for_continue || !rest.finish().await) {
            self.unread.store(true, Ordering::Relaxed);
            self.last.store(true, Ordering::Relaxed);
        }
        let worn = self.requests.is_worn(number);
        keep(self.requests.limits(), worn || self.last.load(Ordering::Relaxed), &mut response);
        self.requests.note(asked, &mut response);
        self.work.wait();
        response
    }
}

/// Says whether the connection goes on, and for how long.
fn keep(limits: &Limits, last: bool, response: &mut Response<ResponseBody>) {
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
}
