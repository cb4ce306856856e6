//! HTTP/2 on a connection: requests at the same time, each in a task of its own.

use super::connection::Transport;
use super::content::Content;
use super::requests::Requests;
use super::stream::Watched;
use crate::content::BodyError;
use crate::pictures::ResponseBody;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use hyper::header::{CONNECTION, CONTENT_LENGTH, DATE, EXPECT, HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::Instrument;
use wire::h2::Limits;

/// A request's content. What has been read of it makes room for more.
struct Incoming(RecvStream);

/// Serves a connection until either side ends it, or it has to make room. `begun` is what has been read of it already.
pub async fn serve(requests: Requests, stream: Box<dyn Transport>, begun: Bytes) {
    let limits = *requests.limits();
    let (mut stopped, activity) = (requests.stopped.clone(), Arc::clone(&requests.activity));
    let stream = Watched::new(stream, begun, requests.work(), limits.send_timeout);
    let heads = wire::h1::Limits { head: limits.head, ..wire::h1::Limits::default() };
    let begins = Limits { streams: limits.streams, heads }.server().handshake::<_, Bytes>(stream);
    let begun = tokio::select! {
        begun = timeout(limits.client_header_timeout, begins) => begun,
        () = activity.evicted() => return,
    };
    let Ok(Ok(mut connection)) = begun else { return };
    let requests = Arc::new(requests);
    let mut tasks = JoinSet::new();
    let most = usize::try_from(limits.streams).unwrap_or(usize::MAX).saturating_mul(2);
    let mut last = false;
    loop {
        let idle = match limits.keepalive_timeout {
            // What is left for the client is sent, and it is told.
            _ if last => limits.lingering.pause.min(limits.send_timeout),
            Duration::ZERO => limits.client_header_timeout,
            idle => idle,
        };
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let number = requests.number();
                    tasks.spawn(answer(Arc::clone(&requests), number, request, respond).in_current_span());
                    // Requests that were reset are answered for nobody, and count no more for the client.
                    if tasks.len() > most {
                        break;
                    }
                    if last || !requests.is_worn(number) {
                        continue;
                    }
                }
                Some(Err(error)) => {
                    let client = requests.origin.peer;
                    tracing::debug!(%error, %client, "a connection to the admin listener ended early");
                    break;
                }
                None => break,
            },
            _ = tasks.join_next(), if !tasks.is_empty() => continue,
            // Nothing is ever sent: the channel closes when the listener stops.
            _ = stopped.changed(), if !last => {}
            () = activity.evicted() => {
                if activity.is_waiting() {
                    break;
                }
            }
            // While something is under way its own deadlines count.
            () = sleep(idle), if tasks.is_empty() => {
                if last {
                    break;
                }
            }
        }
        last = true;
        connection.graceful_shutdown();
    }
    drop(connection);
    // A write that has begun is not left alone by whoever goes away.
    while tasks.join_next().await.is_some() {}
}

/// One request, from its head to the end of its response.
async fn answer(requests: Arc<Requests>, number: u64, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let work = requests.work();
    work.go_on();
    let (mut head, content) = request.into_parts();
    name_host(&mut head);
    if head.headers.contains_key(EXPECT) && !content.is_end_stream() {
        let mut interim = Response::new(());
        *interim.status_mut() = StatusCode::CONTINUE;
        // What cannot be sent is noticed when the response is.
        let _ = respond.send_informational(interim);
    }
    let asked = requests.asked(number, &head);
    let without_content = head.method == Method::HEAD;
    let content = Content::new(Incoming(content).boxed_unsync(), Arc::clone(&work));
    let mut response = requests.answer(Request::from_parts(head, content)).await;
    for name in [CONNECTION, HeaderName::from_static("keep-alive")] {
        response.headers_mut().remove(name);
    }
    requests.note(asked, &mut response);
    work.wait();
    let limit = requests.limits().send_timeout;
    if let Err(error) = send(response, without_content, &mut respond, limit).await {
        let client = requests.origin.peer;
        tracing::debug!(%error, %client, "a response of the admin listener ended early");
    }
}

/// The host that a request is for, where it stands in every other version.
fn name_host(head: &mut Parts) {
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(HOST, host);
    }
}

/// Sends a response as there is room for it. A client that makes none for `limit` gets no more of it.
async fn send(
    response: Response<ResponseBody>,
    without_content: bool,
    respond: &mut SendResponse<Bytes>,
    limit: Duration,
) -> Result<(), h2::Error> {
    let (mut head, mut content) = response.into_parts();
    if let Ok(date) = HeaderValue::from_str(&super::date()) {
        head.headers.insert(DATE, date);
    }
    if let Some(length) = content.size_hint().exact()
        && head.status != StatusCode::NO_CONTENT
    {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    let ends = without_content || content.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), ends)?;
    if ends {
        return Ok(());
    }
    loop {
        let frame = tokio::select! {
            frame = content.frame() => frame,
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return Ok(()),
        };
        let Some(Ok(frame)) = frame else { break };
        let mut data = frame.into_data().unwrap_or_default();
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            let room = match stream.capacity() {
                0 => match timeout(limit, poll_fn(|cx| stream.poll_capacity(cx))).await {
                    Ok(Some(room)) => room?,
                    Ok(None) => return Ok(()),
                    Err(_) => {
                        stream.send_reset(Reason::CANCEL);
                        return Ok(());
                    }
                },
                room => room,
            };
            stream.send_data(data.split_to(room.min(data.len())), false)?;
        }
    }
    stream.send_data(Bytes::new(), true)
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let read = ready!(self.0.poll_data(cx));
        if let Some(Ok(data)) = &read {
            // Fails for streams that are over, of which nothing more will come.
            let _ = self.0.flow_control().release_capacity(data.len());
        }
        Poll::Ready(read.map(|data| data.map(Frame::data).map_err(|error| BodyError(error.to_string()))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
