//! Parts of the configuration, held by a count that only one worker writes.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use yoke::Yoke;
use yoke::erased::ErasedRcCart;

/// A record of the configuration that an exchange runs under: a reference into it that keeps the whole of it alive.
///
/// An `Arc` of the record itself would have all workers write one count with every request. This one counts on the
/// worker's own hold on the configuration, so that nothing shared is written; it cannot leave the worker's thread.
pub struct SnapshotRef<T: ?Sized + 'static>(Yoke<&'static T, ErasedRcCart>);

impl<T: ?Sized + 'static> SnapshotRef<T> {
    /// What `find` finds in `owner`, which stays alive as long as it is held.
    pub fn find<O: 'static>(owner: Rc<O>, find: impl for<'a> FnOnce(&'a O) -> Option<&'a T>) -> Option<SnapshotRef<T>> {
        Yoke::try_attach_to_cart(owner, |owner| find(owner).ok_or(()))
            .ok()
            .map(|found| SnapshotRef(found.erase_rc_cart()))
    }

    /// A part of it.
    pub fn part<U: ?Sized + 'static>(&self, part: impl for<'a> FnOnce(&'a T) -> &'a U) -> SnapshotRef<U> {
        SnapshotRef(self.0.map_project_cloned(|whole, _| part(whole)))
    }

    /// A part of it that may not be there.
    pub fn optional_part<U: ?Sized + 'static>(
        &self,
        part: impl for<'a> FnOnce(&'a T) -> Option<&'a U>,
    ) -> Option<SnapshotRef<U>> {
        self.0.try_map_project_cloned(|whole, _| part(whole).ok_or(())).ok().map(SnapshotRef)
    }
}

impl<T: Clone + 'static> SnapshotRef<T> {
    /// A copy that keeps nothing else alive.
    pub fn detached(&self) -> SnapshotRef<T> {
        SnapshotRef::from(T::clone(self))
    }
}

impl<T: 'static> From<T> for SnapshotRef<T> {
    /// Something of a plugin's own, such as a credential that only another server knows.
    fn from(value: T) -> SnapshotRef<T> {
        SnapshotRef(Yoke::attach_to_cart(Rc::new(value), |value| value).erase_rc_cart())
    }
}

impl<T: ?Sized + 'static> Deref for SnapshotRef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.get()
    }
}

impl<T: ?Sized + 'static> Clone for SnapshotRef<T> {
    fn clone(&self) -> SnapshotRef<T> {
        SnapshotRef(self.0.clone())
    }
}

impl<T: ?Sized + fmt::Debug + 'static> fmt::Debug for SnapshotRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_keeps_its_owner_alive() {
        let owner = Rc::new(vec![String::from("a"), String::from("b")]);
        let gone = Rc::downgrade(&owner);
        let held = SnapshotRef::find(Rc::clone(&owner), |all| all.get(1)).unwrap();
        assert!(SnapshotRef::<String>::find(Rc::clone(&owner), |all| all.get(2)).is_none());
        let part: SnapshotRef<str> = held.part(|text| text.as_str());
        drop((owner, held));
        assert_eq!(&*part.clone(), "b");
        assert_eq!(gone.strong_count(), 1);
        drop(part);
        assert_eq!(gone.strong_count(), 0);
    }

    #[test]
    fn a_detached_copy_keeps_nothing_alive() {
        let owner = Rc::new((String::from("a"), 1));
        let gone = Rc::downgrade(&owner);
        let copy = SnapshotRef::find(owner, |owner| Some(&owner.0)).unwrap().detached();
        assert_eq!(gone.strong_count(), 0);
        assert_eq!(*copy, "a");
    }

    #[test]
    fn a_part_may_be_missing() {
        let held = SnapshotRef::from((1, None::<u8>));
        assert!(held.optional_part(|pair| pair.1.as_ref()).is_none());
        assert_eq!(*held.optional_part(|pair| Some(&pair.0)).unwrap(), 1);
    }
}
