//! The content of a request as plugins see it.

use crate::Bytes;
use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::rc::Rc;

/// What a plugin can know of the content of a request.
///
/// "Larger than may be held" and "empty" are different answers: a plugin whose task is to judge content refuses what it
/// cannot look at, and one that edits content passes it on unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequestBody {
    /// Nobody has asked for it ([`crate::Phases::READS_BODY`]): it goes to the service as it comes.
    #[default]
    Unread,
    /// All of it; perhaps no octet. In the access phase a plugin can put other content in its place.
    Whole(Bytes),
    /// There is more than `client_body_buffer_size` lets a plugin hold. It goes to the service unchanged.
    TooLarge,
    /// Still with the client, and read when a plugin asks for it ([`crate::Phases::MAY_READ_BODY`]).
    OnDemand(ContentDemand),
}

impl RequestBody {
    /// All of the content, where it is at hand.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            RequestBody::Whole(bytes) => Some(bytes),
            RequestBody::Unread | RequestBody::TooLarge | RequestBody::OnDemand(_) => None,
        }
    }

    /// Whether there is content that cannot be looked at because of its size.
    pub fn is_too_large(&self) -> bool {
        *self == RequestBody::TooLarge
    }

    /// Asks for content that is still with the client: whether it has to be waited for, in which case `come` is called
    /// when it is there. Only who waits in a phase whose plugins may ask can do so.
    pub fn demand(&mut self, come: impl FnOnce() + 'static) -> bool {
        self.receive();
        match self {
            RequestBody::OnDemand(demand) => {
                demand.0.borrow_mut().waiting.push(Box::new(come));
                true
            }
            _ => false,
        }
    }

    /// Takes what has been read meanwhile.
    pub fn receive(&mut self) {
        if let RequestBody::OnDemand(demand) = self
            && let Some(read) = demand.read()
        {
            *self = read;
        }
    }
}

/// The place where plugins ask for content, and find it when it has been read. What reads it has the same place.
#[derive(Clone, Default)]
pub struct ContentDemand(Rc<RefCell<Demanded>>);

#[derive(Default)]
struct Demanded {
    /// Who is told that it is there.
    waiting: Vec<Box<dyn FnOnce()>>,
    read: Option<RequestBody>,
}

impl ContentDemand {
    /// Whether somebody waits for it.
    pub fn is_asked(&self) -> bool {
        !self.0.borrow().waiting.is_empty()
    }

    /// It has been read.
    pub fn settle(&self, body: RequestBody) {
        let waiting = {
            let mut demanded = self.0.borrow_mut();
            demanded.read = Some(body);
            mem::take(&mut demanded.waiting)
        };
        waiting.into_iter().for_each(|come| come());
    }

    fn read(&self) -> Option<RequestBody> {
        self.0.borrow().read.clone()
    }
}

impl fmt::Debug for ContentDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, read) = (self.is_asked(), self.0.borrow().read.is_some());
        f.debug_struct("ContentDemand").field("asked", &asked).field("read", &read).finish()
    }
}

impl PartialEq for ContentDemand {
    fn eq(&self, other: &ContentDemand) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ContentDemand {}

impl<B: Into<Bytes>> From<B> for RequestBody {
    fn from(bytes: B) -> RequestBody {
        RequestBody::Whole(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn content_is_asked_for_once_and_found_by_all_that_wait() {
        let demand = ContentDemand::default();
        let mut body = RequestBody::OnDemand(demand.clone());
        let told = Rc::new(Cell::new(0));
        assert!(!demand.is_asked());
        for _ in 0..2 {
            let told = Rc::clone(&told);
            assert!(body.demand(move || told.set(told.get() + 1)));
        }
        assert!(demand.is_asked());
        assert_eq!(body.bytes(), None);
        demand.settle(RequestBody::from(&b"content"[..]));
        assert_eq!(told.get(), 2);
        assert!(!body.demand(|| panic!("it is there")));
        assert_eq!(body, RequestBody::from(&b"content"[..]));
    }

    #[test]
    fn what_is_put_in_its_place_stays() {
        let demand = ContentDemand::default();
        let mut body = RequestBody::OnDemand(demand.clone());
        assert!(body.demand(|| {}));
        body = RequestBody::from(&b"other"[..]);
        demand.settle(RequestBody::from(&b"content"[..]));
        body.receive();
        assert_eq!(body, RequestBody::from(&b"other"[..]));
    }
}
