//! The instances of plugins that have run in a machine, each at a place of its own there.

use super::instance::Configured;
use foldhash::fast::FixedState;
use mlua::{Table, Value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Weak;

/// Places are numbered from 1 and given anew, so that the machine finds an instance in the list part of a table.
pub struct Instances {
    /// What each is to code.
    table: Table,
    places: RefCell<HashMap<u64, Place, FixedState>>,
    /// Places of instances that are gone.
    free: RefCell<Vec<u32>>,
}

struct Place {
    place: u32,
    configured: Weak<Configured>,
}

impl Instances {
    pub fn new(table: Table) -> Instances {
        Instances { table, places: RefCell::default(), free: RefCell::default() }
    }

    /// Where the instance with that number is.
    pub fn place(&self, number: u64) -> Option<u32> {
        self.places.borrow().get(&number).map(|known| known.place)
    }

    /// What it is to code.
    pub fn find(&self, number: u64) -> mlua::Result<Option<Table>> {
        self.place(number).map(|place| self.table.raw_get(place)).transpose()
    }

    /// Takes one in, and lets go of those that are gone.
    pub fn add(&self, number: u64, configured: Weak<Configured>, known: Table) -> mlua::Result<u32> {
        let (mut places, mut free) = (self.places.borrow_mut(), self.free.borrow_mut());
        let gone = places.extract_if(|_, known| known.configured.strong_count() == 0);
        for (_, known) in gone {
            self.table.raw_set(known.place, Value::Boolean(false))?;
            free.push(known.place);
        }
        let place = free.pop().unwrap_or(places.len() as u32 + 1);
        self.table.raw_set(place, known)?;
        places.insert(number, Place { place, configured });
        Ok(place)
    }
}
