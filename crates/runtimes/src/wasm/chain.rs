//! Filters of a chain, one after the other, as a plugin that acts after all others.

use super::host::{Call, Stage};
use super::spec::Spec;
use super::vm::Turn;
use super::workers::{self, Machine};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sdk::{Answer, Bytes, Exchange, Filtered, Framing, Known, Phases, Plugin, RequestBody, Step};
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an exchange waits for a filter that has paused it.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How much content a filter may hold back that pauses it.
const MOST_HELD: usize = 8 << 20;

/// The filters, in their order.
pub struct Chain {
    /// Tells chains apart in what an exchange keeps.
    number: u64,
    specs: Vec<Arc<Spec>>,
}

/// What an exchange keeps for all chains that act on it.
#[derive(Default)]
struct Streams(Vec<Stream>);

/// The contexts of one chain.
struct Stream {
    chain: u64,
    /// Each with its machine.
    contexts: Arc<[(u64, u32)]>,
    /// The content of a response that filters hold back, one for each.
    held: Vec<Bytes>,
    /// What the client gets in place of the response's content.
    replaced: Option<Bytes>,
    is_over: bool,
    /// A filter has failed on it: no other is called.
    has_failed: bool,
}

/// Where a request is among filters.
#[derive(Clone, Copy)]
struct Position {
    stage: Stage,
    filter: usize,
}

/// What has come of a request so far.
enum Progress {
    Through,
    Answer(Answer),
    /// The filter there has paused it.
    Paused(Vec<Call>),
    /// Content is needed that is still with the client.
    NeedsContent(oneshot::Receiver<()>),
}

/// How a wait for a filter ends.
enum Waited {
    GoesOn,
    Answer(Answer),
}

impl Chain {
    pub fn new(specs: Vec<Arc<Spec>>) -> Chain {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Chain { number: NUMBERS.fetch_add(1, Relaxed), specs }
    }

    fn wants(&self, what: impl Fn(&Spec) -> bool) -> bool {
        self.specs.iter().any(|spec| what(spec))
    }

    /// Begins a context for each filter.
    fn open(&self, exchange: &mut Exchange) -> Result<Arc<[(u64, u32)]>, String> {
        workers::sweep();
        let mut contexts = Vec::with_capacity(self.specs.len());
        let opened = self.specs.iter().try_for_each(|spec| {
            let machine = workers::machine(spec)?;
            contexts.push((machine.vm.number, machine.vm.open()?));
            Ok::<(), String>(())
        });
        let stream = Stream {
            chain: self.number,
            contexts: contexts.into(),
            held: vec![Bytes::new(); self.specs.len()],
            replaced: None,
            is_over: false,
            has_failed: false,
        };
        let contexts = Arc::clone(&stream.contexts);
        if exchange.state::<Streams>().is_none() {
            exchange.put(Streams::default());
        }
        if let Some(streams) = exchange.state::<Streams>() {
            streams.0.push(stream);
        }
        opened.map(|()| contexts)
    }

    fn stream<'e>(&self, exchange: &'e mut Exchange) -> Option<&'e mut Stream> {
        exchange.state::<Streams>()?.0.iter_mut().find(|stream| stream.chain == self.number)
    }

    fn contexts(&self, exchange: &mut Exchange) -> Option<Arc<[(u64, u32)]>> {
        // One that could not be begun whole acts no further.
        let is_whole = |stream: &&mut Stream| stream.contexts.len() == self.specs.len() && !stream.has_failed;
        let stream = self.stream(exchange).filter(is_whole)?;
        Some(Arc::clone(&stream.contexts))
    }

    /// Takes a request through the filters, until one of them has it wait.
    fn request(
        &self,
        exchange: &mut Exchange,
        contexts: &[(u64, u32)],
        position: &mut Position,
    ) -> Result<Progress, String> {
        let has_content = !matches!(exchange.request.framing, Framing::Empty | Framing::Length(0));
        if position.stage == Stage::RequestHeaders {
            while let Some(&(machine, context)) = contexts.get(position.filter) {
                let machine = machine_of(machine)?;
                let turn = machine.vm.request_headers(context, exchange, !has_content)?;
                position.filter += 1;
                if let Some(progress) = settled(&machine, turn)? {
                    return Ok(progress);
                }
            }
            *position = Position { stage: Stage::RequestBody, filter: 0 };
        }
        let edited = matches!(&exchange.body, RequestBody::Whole(content) if !content.is_empty());
        if !self.wants(|spec| spec.wants.request_body) || !(has_content || edited) {
            return Ok(Progress::Through);
        }
        let (sender, receiver) = oneshot::channel();
        let come = move || {
            // Whoever waited may have gone.
            let _ = sender.send(());
        };
        if exchange.body.demand(come) {
            return Ok(Progress::NeedsContent(receiver));
        }
        if exchange.body.is_too_large() && position.filter == 0 {
            let request_id = exchange.id_str();
            tracing::error!(request_id, "filters cannot read content that is in a file (client_body_buffer_size)");
        }
        while let Some(&(machine, context)) = contexts.get(position.filter) {
            let machine = machine_of(machine)?;
            let size = match (&exchange.body, exchange.request.framing) {
                (RequestBody::Whole(content), _) => content.len() as u64,
                (_, Framing::Length(length)) => length,
                _ => 0,
            };
            let size = size.min(i32::MAX as u64) as u32;
            position.filter += 1;
            let turn = machine.vm.request_body(context, exchange, size)?;
            if let Some(progress) = settled(&machine, turn)? {
                return Ok(progress);
            }
        }
        Ok(Progress::Through)
    }

    /// The same, with all waits.
    async fn follow(
        &self,
        exchange: &mut Exchange,
        contexts: &[(u64, u32)],
        mut position: Position,
        mut progress: Progress,
    ) -> Result<Option<Answer>, String> {
        loop {
            match progress {
                Progress::Through => return Ok(None),
                Progress::Answer(answer) => return Ok(Some(answer)),
                Progress::NeedsContent(come) => {
                    // Where it cannot be read, the exchange ends, and this with it.
                    come.await.map_err(|_| "the content of the request does not come")?;
                }
                Progress::Paused(calls) => {
                    let Some(&(machine, context)) = contexts.get(position.filter.saturating_sub(1)) else {
                        return Ok(None);
                    };
                    let waited = wait(&machine_of(machine)?, context, exchange, position.stage, calls).await?;
                    if let Waited::Answer(answer) = waited {
                        return Ok(Some(answer));
                    }
                }
            }
            progress = self.request(exchange, contexts, &mut position)?;
        }
    }

    /// Takes the head of a response through the filters from one on. The calls of the one that has it wait come back.
    fn response(
        &self,
        exchange: &mut Exchange,
        contexts: &[(u64, u32)],
        filter: &mut usize,
    ) -> Result<Progress, String> {
        let ends = matches!(exchange.response.framing, Framing::Empty | Framing::Length(0));
        while let Some(&(machine, context)) = contexts.get(*filter) {
            let machine = machine_of(machine)?;
            *filter += 1;
            let turn = machine.vm.response_headers(context, exchange, ends)?;
            if let Some(progress) = settled(&machine, turn)? {
                return Ok(progress);
            }
        }
        Ok(Progress::Through)
    }

    async fn follow_response(
        &self,
        exchange: &mut Exchange,
        contexts: &[(u64, u32)],
        mut filter: usize,
        mut progress: Progress,
    ) -> Result<Option<Answer>, String> {
        loop {
            match progress {
                Progress::Answer(answer) => return Ok(Some(answer)),
                Progress::Paused(calls) => {
                    let Some(&(machine, context)) = contexts.get(filter.saturating_sub(1)) else { return Ok(None) };
                    let machine = machine_of(machine)?;
                    let waited = wait(&machine, context, exchange, Stage::ResponseHeaders, calls).await?;
                    if let Waited::Answer(answer) = waited {
                        return Ok(Some(answer));
                    }
                }
                Progress::Through | Progress::NeedsContent(_) => return Ok(None),
            }
            progress = self.response(exchange, contexts, &mut filter)?;
        }
    }

    /// Puts an answer in the place of a response whose head is not sent yet.
    fn replace(&self, exchange: &mut Exchange, answer: Answer) {
        let response = &mut exchange.response;
        response.status = answer.status;
        response.reason.clear();
        for known in [Known::ContentLength, Known::ContentEncoding, Known::ContentType] {
            response.fields.remove_known(known);
        }
        response.fields.replace_all(&answer.fields);
        exchange.replace_response();
        if let Some(stream) = self.stream(exchange) {
            stream.replaced = Some(answer.body);
        }
    }

    /// A filter has failed on an exchange: the others have nothing more to do with it.
    fn fail(&self, exchange: &mut Exchange, error: &str) {
        tell(exchange, error);
        if let Some(stream) = self.stream(exchange) {
            stream.has_failed = true;
        }
    }

    /// The same of a request.
    fn refuse(&self, exchange: &mut Exchange, error: &str) -> Step<'static> {
        self.fail(exchange, error);
        Step::Answer(Answer::unexpected(exchange))
    }

    /// What has come of the head of a response.
    fn settle_response(&self, exchange: &mut Exchange, result: Result<Option<Answer>, String>) {
        match result {
            Ok(None) => {}
            Ok(Some(answer)) => self.replace(exchange, answer),
            Err(error) => {
                self.fail(exchange, &error);
                let answer = Answer::unexpected(exchange);
                self.replace(exchange, answer);
            }
        }
    }

    fn content(
        &self,
        exchange: &mut Exchange,
        contexts: &[(u64, u32)],
        mut piece: Bytes,
        last: bool,
    ) -> Result<Bytes, String> {
        for (at, &(machine, context)) in contexts.iter().enumerate() {
            let machine = machine_of(machine)?;
            if let Some(held) = self.stream(exchange).and_then(|stream| stream.held.get_mut(at))
                && !held.is_empty()
            {
                piece = [mem::take(held), piece].concat().into();
            }
            if piece.is_empty() && !last {
                continue;
            }
            let turn = machine.vm.response_body(context, exchange, &mut piece, last)?;
            workers::settle(&machine);
            if turn.reset {
                return Err("a filter has ended the response".to_owned());
            }
            // A filter that pauses sees what it holds back again, with what follows.
            if turn.paused && !last {
                if piece.len() > MOST_HELD {
                    return Err("a filter holds back too much content".to_owned());
                }
                if let Some(held) = self.stream(exchange).and_then(|stream| stream.held.get_mut(at)) {
                    *held = mem::take(&mut piece);
                }
            }
        }
        if last && exchange.trailers.as_ref().is_some_and(|trailers| !trailers.is_empty()) {
            for &(machine, context) in contexts {
                let machine = machine_of(machine)?;
                machine.vm.response_trailers(context, exchange)?;
                workers::settle(&machine);
            }
        }
        Ok(piece)
    }
}

impl Plugin for Chain {
    fn phases(&self) -> Phases {
        let mut phases = Phases::ACCESS.and(Phases::LOG);
        // Answers of filters in place of a response come by its content.
        if self.wants(|spec| spec.wants.response_headers) {
            phases = phases.and(Phases::HEADER_FILTER_WAITS).and(Phases::BODY_FILTER);
        }
        if self.wants(|spec| spec.wants.response_body || spec.wants.response_trailers) {
            phases = phases.and(Phases::BODY_FILTER);
        }
        if self.wants(|spec| spec.wants.request_body) {
            phases = phases.and(Phases::MAY_READ_BODY);
        }
        phases.looking_back()
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        // As Kong, whose filters come after it has been found out whether there is a service.
        if exchange.service.is_none() || exchange.stream.is_some() {
            return Step::Next;
        }
        let mut position = Position { stage: Stage::RequestHeaders, filter: 0 };
        let begun = self.open(exchange).and_then(|contexts| {
            let progress = self.request(exchange, &contexts, &mut position)?;
            Ok((contexts, progress))
        });
        match begun {
            Ok((_, Progress::Through)) => Step::Next,
            Ok((_, Progress::Answer(answer))) => Step::Answer(answer),
            Ok((contexts, progress)) => Step::Wait(Box::pin(async move {
                match self.follow(exchange, &contexts, position, progress).await {
                    Ok(None) => Step::Next,
                    Ok(Some(answer)) => Step::Answer(answer),
                    Err(error) => self.refuse(exchange, &error),
                }
            })),
            Err(error) => self.refuse(exchange, &error),
        }
    }

    fn header_filter_waiting<'a>(&'a self, exchange: &'a mut Exchange) -> Filtered<'a, ()> {
        let Some(contexts) = self.contexts(exchange) else { return Filtered::Done(()) };
        let mut filter = 0;
        match self.response(exchange, &contexts, &mut filter) {
            Ok(Progress::Through | Progress::NeedsContent(_)) => {}
            Ok(Progress::Answer(answer)) => self.replace(exchange, answer),
            Ok(progress) => {
                return Filtered::Wait(Box::pin(async move {
                    let result = self.follow_response(exchange, &contexts, filter, progress).await;
                    self.settle_response(exchange, result);
                    Ok(())
                }));
            }
            Err(error) => self.settle_response(exchange, Err(error)),
        }
        Filtered::Done(())
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
        if let Some(stream) = self.stream(exchange)
            && let Some(replaced) = &mut stream.replaced
        {
            return mem::take(replaced);
        }
        let Some(contexts) = self.contexts(exchange) else { return piece };
        match self.content(exchange, &contexts, piece, last) {
            Ok(piece) => piece,
            Err(error) => {
                self.fail(exchange, &error);
                exchange.fail_filter();
                Bytes::new()
            }
        }
    }

    fn log(&self, exchange: &mut Exchange) {
        let Some(contexts) = self.contexts(exchange) else { return };
        if let Some(stream) = self.stream(exchange) {
            stream.is_over = true;
        }
        for &(machine, context) in &*contexts {
            let Some(machine) = workers::find(machine) else { continue };
            if let Err(error) = machine.vm.close(context, exchange) {
                tell(exchange, &error);
            }
            workers::settle(&machine);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.is_over {
            self.contexts.iter().for_each(|&(machine, context)| workers::abandon(machine, context));
        }
    }
}

fn machine_of(number: u64) -> Result<Rc<Machine>, String> {
    workers::find(number).ok_or_else(|| "the filter's machine has ended".to_owned())
}

/// What follows from a call; `None`: the next filter.
fn settled(machine: &Rc<Machine>, turn: Turn) -> Result<Option<Progress>, String> {
    workers::settle(machine);
    Ok(match turn {
        Turn { reset: true, .. } => return Err("a filter has ended the exchange".to_owned()),
        Turn { answer: Some(answer), .. } => Some(Progress::Answer(answer)),
        // As in Kong, an exchange waits for the requests that a filter makes about it.
        Turn { paused, calls, .. } if paused || !calls.is_empty() => Some(Progress::Paused(calls)),
        _ => None,
    })
}

/// Waits until a filter lets an exchange go on: it says so, or all of its requests have been answered.
async fn wait(
    machine: &Rc<Machine>,
    context: u32,
    exchange: &mut Exchange,
    stage: Stage,
    calls: Vec<Call>,
) -> Result<Waited, String> {
    let wake = machine.vm.wake(context);
    let pending = |call: Call| async move { (call.token, call.response.await) };
    let mut calls: FuturesUnordered<_> = calls.into_iter().map(pending).collect();
    let mut limit = std::pin::pin!(tokio::time::sleep(LONGEST_PAUSE));
    loop {
        let mut turn = tokio::select! {
            Some((token, response)) = calls.next(), if !calls.is_empty() => {
                let mut turn = machine.vm.call_response(context, Some((&mut *exchange, stage)), token, response)?;
                workers::settle(machine);
                calls.extend(mem::take(&mut turn.calls).into_iter().map(pending));
                turn.resumed |= calls.is_empty();
                turn
            }
            () = wake.notified() => machine.vm.said(context),
            () = &mut limit => return Err("a filter has paused the exchange for too long".to_owned()),
        };
        if turn.reset {
            return Err("a filter has ended the exchange".to_owned());
        }
        if let Some(answer) = turn.answer.take() {
            return Ok(Waited::Answer(answer));
        }
        if turn.resumed {
            return Ok(Waited::GoesOn);
        }
        if machine.vm.is_broken() {
            return Err("the filter's machine has ended".to_owned());
        }
    }
}

fn tell(exchange: &Exchange, error: &str) {
    tracing::error!(request_id = exchange.id_str(), "{error}");
}
