//! Content that is read while a plugin waits for it.

use sdk::{ContentDemand, LocalBoxFuture, RequestBody, Step};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// The content of a request, for a phase in which plugins may ask for it.
pub struct OnDemand<'r> {
    demand: ContentDemand,
    /// Not polled before somebody asks, and gone when it has ended.
    reading: Option<Reading<'r>>,
    failed: bool,
}

/// Reads the content; nothing, where it cannot be had.
pub type Reading<'r> = Pin<&'r mut dyn Future<Output = Option<RequestBody>>>;

impl<'r> OnDemand<'r> {
    /// Content that is read by that future when somebody asks there.
    pub fn new(demand: ContentDemand, reading: Reading<'r>) -> OnDemand<'r> {
        OnDemand { demand, reading: Some(reading), failed: false }
    }

    /// Follows a plugin, and reads the content beside it as soon as it asks; nothing when it has asked for what cannot
    /// be had, for it has nothing to go on with then.
    pub(super) async fn during(&mut self, mut step: LocalBoxFuture<'_, Step<'static>>) -> Option<Step<'static>> {
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(step) = step.as_mut().poll(cx) {
                    return Poll::Ready(Some(step));
                }
                if self.failed {
                    return Poll::Ready(None);
                }
                let Some(reading) = self.reading.as_mut().filter(|_| self.demand.is_asked()) else {
                    return Poll::Pending;
                };
                let Poll::Ready(read) = reading.as_mut().poll(cx) else { return Poll::Pending };
                self.end(read);
                if self.failed {
                    return Poll::Ready(None);
                }
            }
        })
        .await
    }

    /// Reads to its end what somebody has asked for and not waited for.
    pub async fn finish(&mut self) {
        if let Some(reading) = self.reading.as_mut().filter(|_| self.demand.is_asked()) {
            let read = reading.as_mut().await;
            self.end(read);
        }
    }

    fn end(&mut self, read: Option<RequestBody>) {
        self.reading = None;
        match read {
            Some(body) => self.demand.settle(body),
            None => self.failed = true,
        }
    }
}
