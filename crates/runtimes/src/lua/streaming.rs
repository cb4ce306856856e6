//! Content that code sends while it goes on (`ngx.flush`): the answer begins when code wants that, and the rest comes
//! from the code as it runs.

use super::host;
use super::operations;
use super::turn::{Outcome, Progress, Waiting};
use sdk::{Answer, Bytes, Continuation, Exchange, LocalBoxFuture, Portion, RequestBody};
use std::mem;

/// Code whose answer has begun.
struct Streamed {
    /// Nothing when it is through.
    waiting: Option<Waiting<'static>>,
    report: Box<dyn Fn(&Exchange, &str)>,
    /// Coroutines that wait until what they have said has left.
    flushing: Vec<u64>,
}

/// Begins the answer of code that wants what it has said to be sent.
pub fn begin(
    exchange: &mut Exchange,
    waiting: Waiting<'static>,
    report: impl Fn(&Exchange, &str) + 'static,
) -> Outcome {
    let (status, fields) = host::begin_said(exchange);
    let streamed = Streamed { waiting: Some(waiting), report: Box::new(report), flushing: Vec::new() };
    exchange.continuation = Some(Box::new(streamed));
    // Nobody reads the client's content any more.
    if matches!(exchange.body, RequestBody::OnDemand(_)) {
        exchange.body = RequestBody::Unread;
    }
    Outcome::Answer(Box::new(Answer { fields, ..Answer::new(status, Bytes::new()) }))
}

impl Continuation for Streamed {
    fn next<'a>(&'a mut self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Portion> {
        Box::pin(async move {
            for number in mem::take(&mut self.flushing) {
                operations::wake(number);
            }
            let Some(mut waiting) = self.waiting.take() else { return Portion::End };
            loop {
                match waiting.go_on(exchange).await {
                    Ok(Progress::Sends) => {
                        let sent = host::take_said(exchange);
                        self.waiting = Some(waiting);
                        self.flushing = sent.flushing;
                        let content = sent.content.into();
                        return if sent.is_last { Portion::Last(content) } else { Portion::Content(content) };
                    }
                    Ok(Progress::Waits(next)) => waiting = next,
                    Ok(Progress::Over(Outcome::Answer(answer))) => return Portion::Last(answer.body),
                    Ok(Progress::Over(Outcome::Done)) => return Portion::End,
                    Err(error) => {
                        (self.report)(exchange, &error);
                        return Portion::Failed;
                    }
                }
            }
        })
    }
}
