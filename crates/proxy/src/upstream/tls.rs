//! How connections to services are secured, as one worker has it: with counts of its own, since every request to a
//! service counts.

use crate::tls::Terms;
use std::cell::RefCell;
use std::rc::Rc;

/// How a connection is secured.
#[derive(PartialEq, Eq, Hash, Debug)]
pub struct Tls {
    /// The server name that is asked for.
    pub name: Box<str>,
    pub terms: Rc<Terms>,
}

/// What the connections with one service have in common, whatever its server name.
pub struct ServiceTls {
    terms: Rc<Terms>,
    /// The one that was asked for last: most services have one name.
    last: RefCell<Option<Rc<Tls>>>,
}

impl ServiceTls {
    pub fn new(terms: Terms) -> ServiceTls {
        ServiceTls { terms: Rc::new(terms), last: RefCell::default() }
    }

    /// With that server name.
    pub fn named(&self, name: &str) -> Rc<Tls> {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some(last) if *last.name == *name => Rc::clone(last),
            _ => Rc::clone(last.insert(Rc::new(Tls { name: name.into(), terms: Rc::clone(&self.terms) }))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Certificates, Outbound, Services};
    use model::entities::Uuid;

    #[test]
    fn the_same_name_takes_nothing_new() {
        let outbound = Outbound::new(Services::default()).unwrap();
        let tls = ServiceTls::new(outbound.terms(&Uuid::nil(), None, &Certificates::new(None)).unwrap());
        let first = tls.named("a.test");
        assert!(Rc::ptr_eq(&first, &tls.named("a.test")));
        let other = tls.named("b.test");
        assert_ne!(first, other);
        assert!(Rc::ptr_eq(&first.terms, &other.terms));
        assert_eq!(first, tls.named("a.test"));
    }
}
