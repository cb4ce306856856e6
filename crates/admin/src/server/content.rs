//! The content of a request on its way in, of which an answer may leave some unread.

use super::connections::Work;
use crate::content::{BodyError, RequestBody};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// A request's content, lent to whoever answers.
pub struct Content {
    shared: Arc<Mutex<RequestBody>>,
    work: Arc<Work>,
}

/// So much of what an answer left unread is read, to keep the connection, if it comes soon: small requests that are
/// refused are as good as there.
const REST: (u64, Duration) = (64 << 10, Duration::from_millis(250));

impl Content {
    pub fn new(content: RequestBody, work: Arc<Work>) -> Content {
        Content { shared: Arc::new(Mutex::new(content)), work }
    }

    /// The same content, for [`Content::finish`] after it was lent away.
    pub fn again(&self) -> Content {
        Content { shared: Arc::clone(&self.shared), work: Arc::clone(&self.work) }
    }

    /// Whether its end has not been reached.
    pub fn is_unread(&self) -> bool {
        !self.is_end_stream()
    }

    /// Reads what is left, within limits; whether the end was reached, so that another request can follow.
    pub async fn finish(&mut self) -> bool {
        if self.size_hint().lower() > REST.0 {
            return false;
        }
        let mut left = REST.0;
        let rest = async {
            while let Some(frame) = self.frame().await {
                let length = frame.ok()?.data_ref().map_or(0, |data| data.len() as u64);
                left = left.checked_sub(length)?;
            }
            Some(())
        };
        tokio::time::timeout(REST.1, rest.map(|read| read.is_some())).await.unwrap_or(false)
    }

    fn content(&self) -> MutexGuard<'_, RequestBody> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut *self.content()).poll_frame(cx);
        match frame {
            Poll::Pending => self.work.wait(),
            Poll::Ready(_) => self.work.go_on(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.content().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content().size_hint()
    }
}
