//! What goes through a node, second by second, and its way to a client as an event stream.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// Pictures of a node, each as text of JSON; nobody watches any more when it is dropped. Clones are the same.
#[derive(Clone)]
pub struct Pictures {
    /// The name of their events.
    event: &'static str,
    stream: Arc<Mutex<BoxStream<'static, Arc<str>>>>,
}

/// The content of a response.
pub enum ResponseBody {
    Whole(Full<Bytes>),
    /// Events, until the client or the node goes away.
    Events {
        pictures: Pictures,
        stopped: BoxFuture<'static, ()>,
    },
}

impl Pictures {
    pub fn new(event: &'static str, stream: BoxStream<'static, Arc<str>>) -> Pictures {
        Pictures { event, stream: Arc::new(Mutex::new(stream)) }
    }

    /// The next one; `None`: the node ends.
    pub async fn next(&self) -> Option<Arc<str>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Arc<str>>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(cx)
    }
}

impl fmt::Debug for Pictures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pictures")
    }
}

impl PartialEq for Pictures {
    fn eq(&self, other: &Pictures) -> bool {
        Arc::ptr_eq(&self.stream, &other.stream)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (pictures, stopped) = match self.get_mut() {
            ResponseBody::Whole(whole) => return Pin::new(whole).poll_frame(cx),
            ResponseBody::Events { pictures, stopped } => (pictures, stopped),
        };
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let name = pictures.event;
        let event = |picture: Arc<str>| Frame::data(Bytes::from(format!("event: {name}\ndata: {picture}\n\n")));
        pictures.poll_next(cx).map(|picture| picture.map(|picture| Ok(event(picture))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, ResponseBody::Whole(whole) if whole.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Whole(whole) => whole.size_hint(),
            ResponseBody::Events { .. } => SizeHint::default(),
        }
    }
}
