//! What goes through a node right now, for whoever watches.
//!
//! While nobody does, a request costs a look at one number. Else each worker counts in tallies of its own, which no
//! other thread writes, by service, route, consumer and target; a [`Watch`] adds them up on the control runtime.
//! Single requests are kept for those who look at them ([`RequestView`]).

mod connections;
mod picture;
mod requests;
mod tally;
mod watch;

pub(crate) use connections::{OpenConnection, OpenConnections};
pub use picture::{Picture, WantedUpstreams};
pub use requests::{Kept, RequestFilter, RequestView};
pub use watch::Watch;

use foldhash::fast::RandomState;
use model::entities::Uuid;
use requests::{Seen, Viewers};
use sdk::{Exchange, Fields};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tally::Tally;

/// Whether somebody watches, and what workers have begun to count for them.
pub(crate) struct Live {
    /// The number of the present watch; 0: there is none.
    watch: AtomicU64,
    /// How many watches there were.
    begun: AtomicU64,
    /// By worker.
    begun_tallies: Box<[Mutex<Vec<Begun>>]>,
    /// Who looks at single requests.
    viewers: Viewers,
    pub connections: Box<[Arc<OpenConnections>]>,
}

/// A tally that a worker has begun for a watch.
struct Begun {
    watch: u64,
    subject: Subject,
    named: Named,
    tally: Arc<Tally>,
}

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    /// All requests; what the node does with them; what services take.
    Requests,
    Gateway,
    Services,
    Service(Uuid),
    Route(Uuid),
    Consumer(Uuid),
    /// An address of an upstream's target.
    Target(Uuid, SocketAddr),
    /// What there is no room for.
    Rest(Kind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Service,
    Route,
    Consumer,
    Target,
}

/// A record as it was when it was first counted.
#[derive(Clone, Debug, Default)]
struct Named {
    name: Option<String>,
    workspace: Uuid,
}

/// A worker's part.
pub(crate) struct Counting {
    live: Arc<Live>,
    worker: usize,
    book: RefCell<Book>,
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Book {
    watch: u64,
    tallies: HashMap<Subject, Arc<Tally>, RandomState>,
}

/// So many subjects a worker counts apart.
const MOST: usize = 8192;

impl Live {
    pub fn new(workers: usize) -> Arc<Live> {
        Arc::new(Live {
            watch: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            begun_tallies: (0..workers).map(|_| Mutex::default()).collect(),
            viewers: Viewers::default(),
            connections: (0..workers).map(|_| Arc::default()).collect(),
        })
    }

    /// The part of a worker.
    pub fn counting(self: &Arc<Live>, worker: usize) -> Counting {
        Counting { live: Arc::clone(self), worker, book: RefCell::default(), seen: RefCell::default() }
    }

    /// Has the workers count, from zero; any other watch is over.
    fn begin(&self) -> u64 {
        let watch = self.begun.fetch_add(1, Relaxed) + 1;
        self.watch.store(watch, Relaxed);
        watch
    }

    /// Has the workers stop counting for that watch.
    fn end(&self, watch: u64) {
        let _ = self.watch.compare_exchange(watch, 0, Relaxed, Relaxed);
        self.take_begun();
    }

    /// The tallies that workers have begun since the last time.
    fn take_begun(&self) -> Vec<Begun> {
        let take =
            |begun: &Mutex<Vec<Begun>>| std::mem::take(&mut *begun.lock().unwrap_or_else(PoisonError::into_inner));
        self.begun_tallies.iter().flat_map(take).collect()
    }
}

impl Counting {
    /// Whether somebody watches.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.live.watch.load(Relaxed) != 0
    }

    /// A copy of the lines that a client has sent, where somebody looks at requests.
    #[inline]
    pub fn lines_to_show(&self, lines: &Fields) -> Option<Box<Fields>> {
        self.live.viewers.any().then(|| Box::new(lines.clone()))
    }

    /// Shows a request that is over to those who look; not one whose lines were not kept.
    pub fn shown(&self, exchange: &Exchange, lines: Option<&Fields>) {
        if let Some(lines) = lines {
            Seen::request(&self.seen, &self.live.viewers, self.worker, exchange, lines);
        }
    }

    /// Counts a request that is over.
    #[cold]
    pub fn request(&self, exchange: &Exchange) {
        let timing = &exchange.timing;
        // The time of the event loop may be that of the request's beginning.
        let took = timing.started.elapsed();
        let status = exchange.response.status;
        let mut book = self.book();
        let mut count = |subject, time, named: &dyn Fn() -> Named| {
            self.tally(&mut book, subject, named).add(status, time);
        };
        count(Subject::Requests, took, &Named::default);
        count(Subject::Gateway, timing.proxy.unwrap_or(took), &Named::default);
        if let Some(waited) = timing.upstream {
            count(Subject::Services, waited, &Named::default);
        }
        if let Some(service) = exchange.service.as_deref() {
            let named = || Named { name: service.name.clone(), workspace: service.workspace };
            count(Subject::Service(service.id), took, &named);
        }
        if let Some(route) = exchange.route.as_deref() {
            let named = || Named { name: route.name.clone(), workspace: route.workspace };
            count(Subject::Route(route.id), took, &named);
        }
        if let Some(consumer) = exchange.consumer.as_deref() {
            let name = || consumer.username.clone().or_else(|| consumer.custom_id.clone());
            count(Subject::Consumer(consumer.id), took, &|| Named { name: name(), workspace: consumer.workspace });
        }
    }

    /// Counts a try at a target of an upstream.
    #[cold]
    pub fn attempt(&self, upstream: Uuid, address: SocketAddr, status: u16, waited: Duration) {
        let mut book = self.book();
        self.tally(&mut book, Subject::Target(upstream, address), &Named::default).add(status, waited);
    }

    /// Lets go of what was counted for a watch that is over.
    pub fn sweep(&self) {
        self.seen.borrow_mut().sweep(&self.live.viewers);
        if !self.is_watched() {
            *self.book.borrow_mut() = Book::default();
        }
    }

    /// The tallies for the present watch.
    fn book(&self) -> std::cell::RefMut<'_, Book> {
        let watch = self.live.watch.load(Relaxed);
        let mut book = self.book.borrow_mut();
        if book.watch != watch {
            *book = Book { watch, tallies: HashMap::default() };
        }
        book
    }

    fn tally<'b>(&self, book: &'b mut Book, subject: Subject, named: &dyn Fn() -> Named) -> &'b Tally {
        let full = book.tallies.len() >= MOST && !book.tallies.contains_key(&subject);
        let subject = if full { subject.rest() } else { subject };
        book.tallies.entry(subject).or_insert_with(|| {
            let tally = Arc::<Tally>::default();
            let begun = Begun { watch: book.watch, subject, named: named(), tally: Arc::clone(&tally) };
            let list = &self.live.begun_tallies[self.worker];
            list.lock().unwrap_or_else(PoisonError::into_inner).push(begun);
            tally
        })
    }
}

impl Subject {
    /// Where it is counted when there is no room for it.
    fn rest(self) -> Subject {
        match self {
            Subject::Service(_) => Subject::Rest(Kind::Service),
            Subject::Route(_) => Subject::Rest(Kind::Route),
            Subject::Consumer(_) => Subject::Rest(Kind::Consumer),
            Subject::Target(..) => Subject::Rest(Kind::Target),
            other => other,
        }
    }
}
