//! The content of a request on its way up, while the service's answer is awaited or already comes down.

use super::deadlines::Wait;
use super::downstream::Downstream;
use super::payload::Payload;
use crate::upstream::Upstream;
use bytes::Bytes;
use std::io;
use std::task::{Context, Poll, ready};
use wire::h1::ContentError;

/// Why content does not come or could not be sent up.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// The client broke its framing.
    Malformed,
    /// The client went away.
    ClientClosed,
    /// The client was silent for too long.
    TimedOut,
    /// More than is allowed.
    TooLarge,
    /// The service does not take it.
    Service,
    /// It could not be kept on disk.
    Spool(io::Error),
}

/// How far the content has come on its way to one service.
#[derive(Default)]
pub(crate) struct Upload {
    stage: Stage,
    /// A piece of what is on disk, being sent, and how much of that has been.
    piece: Bytes,
    spooled: u64,
    /// What it waits for, when it does.
    pub waits: Option<Wait>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Stage {
    /// What is held in memory, from the beginning.
    #[default]
    Held,
    /// What waits on disk.
    Spooled,
    /// What still comes from the client.
    Rest,
    Flush,
    Done,
}

impl Upload {
    /// Whether all is on its way, or nothing more will be sent.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Nothing more is sent: the service has answered without it, or cannot take it.
    pub fn stop(&mut self, upstream: &mut Upstream) {
        if self.stage != Stage::Done {
            upstream.forbid_reuse();
            self.stage = Stage::Done;
            self.waits = None;
        }
    }

    /// Sends content up until it is all on its way.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream<'_>,
        upstream: &mut Upstream,
        payload: &mut Payload,
    ) -> Poll<Result<(), UploadError>> {
        // Every wait below but one is for the service.
        self.waits = Some(Wait::ServiceWrite);
        loop {
            match self.stage {
                Stage::Held => {
                    ready!(upstream.poll_write(cx, payload.held(downstream))).map_err(|_| UploadError::Service)?;
                    self.stage = if payload.spool_mut().is_some() { Stage::Spooled } else { Stage::Rest };
                }
                Stage::Spooled => {
                    let Some(spool) = payload.spool_mut() else {
                        self.stage = Stage::Rest;
                        continue;
                    };
                    if self.piece.is_empty() {
                        self.piece = ready!(spool.poll_read(cx, self.spooled)).map_err(UploadError::Spool)?;
                    }
                    if self.piece.is_empty() {
                        self.stage = Stage::Rest;
                        continue;
                    }
                    ready!(upstream.poll_write(cx, &self.piece)).map_err(|_| UploadError::Service)?;
                    self.spooled += self.piece.len() as u64;
                    self.piece = Bytes::new();
                }
                Stage::Rest if !payload.has_rest() => self.finish(downstream, upstream, payload),
                Stage::Rest => match downstream.poll_content(cx) {
                    Poll::Pending => {
                        // What was gathered leaves before we wait.
                        ready!(upstream.poll_flush(cx)).map_err(|_| UploadError::Service)?;
                        self.waits = Some(Wait::ClientRead);
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(UploadError::from(error))),
                    Poll::Ready(Ok(None)) => self.finish(downstream, upstream, payload),
                    Poll::Ready(Ok(Some(n))) => {
                        ready!(upstream.poll_write(cx, downstream.content(n))).map_err(|_| UploadError::Service)?;
                        downstream.consume(n);
                        payload.stream(n)?;
                    }
                },
                Stage::Flush => {
                    ready!(upstream.poll_flush(cx)).map_err(|_| UploadError::Service)?;
                    self.stage = Stage::Done;
                }
                Stage::Done => {
                    self.waits = None;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn finish(&mut self, downstream: &Downstream<'_>, upstream: &mut Upstream, payload: &Payload) {
        upstream.finish(payload.trailers(downstream).as_ref());
        self.stage = Stage::Flush;
    }
}

impl From<ContentError> for UploadError {
    fn from(error: ContentError) -> UploadError {
        match error {
            ContentError::Malformed(_) => UploadError::Malformed,
            ContentError::Truncated | ContentError::Io(_) => UploadError::ClientClosed,
        }
    }
}
