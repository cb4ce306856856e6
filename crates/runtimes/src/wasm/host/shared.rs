//! What filters of all workers share: data under keys, and queues. Who asks for none of it waits for no lock.

use super::memory::{give, read, read_name, write_u32};
use super::{Guest, Host, Status, code};
use sdk::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wasmtime::{Linker, Result};

/// How many octets of data there are where the settings do not say (`nginx_wasm_shm_kv`).
const ROOM: usize = 16 << 20;
/// What an entry takes beside its octets.
const ENTRY: usize = 64;
/// How much a queue holds, and how many there are.
const QUEUE_ROOM: usize = 4 << 20;
const MOST_QUEUES: usize = 1_000;

/// A machine that listens to a queue, and the queue.
pub type Ready = (u64, u32);

static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);

struct Shared {
    data: HashMap<Vec<u8>, Entry>,
    /// Keys with the numbers under which they were written, the oldest first.
    written: VecDeque<(Vec<u8>, u32)>,
    octets: usize,
    room: usize,
    last: u32,
    /// By their ids, which begin at 1.
    queues: Vec<Queue>,
}

struct Entry {
    value: Bytes,
    number: u32,
}

struct Queue {
    name: String,
    items: VecDeque<Bytes>,
    octets: usize,
    /// The machines that listen, and whose turn it is.
    listeners: VecDeque<(u64, UnboundedSender<Ready>)>,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared { data: HashMap::new(), written: VecDeque::new(), octets: 0, room: ROOM, last: 0, queues: Vec::new() }
    }
}

thread_local! {
    /// Where machines of this worker are told of queues.
    static WORKER: std::cell::RefCell<Option<UnboundedSender<Ready>>> = const { std::cell::RefCell::new(None) };
}

/// How many octets of data there may be.
pub fn limit(octets: usize) {
    lock().room = octets;
}

/// Has this worker hear of queues that its machines listen to.
pub fn listen() -> UnboundedReceiver<Ready> {
    let (sender, receiver) = unbounded_channel();
    WORKER.set(Some(sender));
    receiver
}

pub fn add(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |mut guest: Guest<'_>, key: u32, size: u32, place: u32, length: u32, cas: u32| {
            code((|| {
                let key = read(&mut guest, key, size)?;
                let found = lock().data.get(&key).map(|entry| (entry.value.clone(), entry.number));
                let (value, number) = found.ok_or(Status::NotFound)?;
                give(&mut guest, &value, place, length)?;
                write_u32(&mut guest, cas, number)
            })())
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |mut guest: Guest<'_>, key: u32, size: u32, value: u32, length: u32, cas: u32| {
            code((|| {
                let key = read(&mut guest, key, size)?;
                let value = read(&mut guest, value, length)?;
                lock().set(key, value.into(), cas)
            })())
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_register_shared_queue",
        |mut guest: Guest<'_>, name: u32, size: u32, place: u32| {
            code((|| {
                let name = read_name(&mut guest, name, size)?;
                let machine = guest.data().machine;
                let id = lock().register(name, machine)?;
                write_u32(&mut guest, place, id)
            })())
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_resolve_shared_queue",
        |mut guest: Guest<'_>, _vm: u32, _vm_size: u32, name: u32, size: u32, place: u32| {
            code((|| {
                let name = read_name(&mut guest, name, size)?;
                let id = lock().queues.iter().position(|queue| queue.name == name).ok_or(Status::NotFound)?;
                write_u32(&mut guest, place, id as u32 + 1)
            })())
        },
    )?;
    linker.func_wrap("env", "proxy_enqueue_shared_queue", |mut guest: Guest<'_>, id: u32, at: u32, size: u32| {
        code((|| {
            let item = read(&mut guest, at, size)?;
            lock().enqueue(id, item.into())
        })())
    })?;
    linker.func_wrap(
        "env",
        "proxy_dequeue_shared_queue",
        |mut guest: Guest<'_>, id: u32, place: u32, length: u32| {
            code((|| {
                let item = lock().dequeue(id)?;
                give(&mut guest, &item, place, length)
            })())
        },
    )?;
    Ok(())
}

fn lock() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Puts a value under a key; with a number other than 0, only while the value is the one of that number. What was
    /// written longest ago makes room.
    fn set(&mut self, key: Vec<u8>, value: Bytes, cas: u32) -> std::result::Result<(), Status> {
        let known = self.data.get(&key).map_or(0, |entry| entry.number);
        if cas != 0 && cas != known {
            return Err(Status::CasMismatch);
        }
        let size = 2 * key.len() + value.len() + ENTRY;
        if size > self.room {
            return Err(Status::InternalFailure);
        }
        self.remove(&key);
        while self.octets + size > self.room {
            let Some((oldest, number)) = self.written.pop_front() else { break };
            if self.data.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.remove(&oldest);
            }
        }
        self.last = self.last.wrapping_add(1).max(1);
        self.octets += size;
        self.written.push_back((key.clone(), self.last));
        self.data.insert(key, Entry { value, number: self.last });
        // Keys that are written again and again leave their former places behind.
        if self.written.len() > 2 * self.data.len() + 64 {
            let data = &self.data;
            self.written.retain(|(key, number)| data.get(key).is_some_and(|entry| entry.number == *number));
        }
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some((key, entry)) = self.data.remove_entry(key) {
            self.octets -= 2 * key.len() + entry.value.len() + ENTRY;
        }
    }

    fn register(&mut self, name: String, machine: u64) -> std::result::Result<u32, Status> {
        let at = match self.queues.iter().position(|queue| queue.name == name) {
            Some(at) => at,
            None if self.queues.len() >= MOST_QUEUES => return Err(Status::InternalFailure),
            None => {
                self.queues.push(Queue { name, items: VecDeque::new(), octets: 0, listeners: VecDeque::new() });
                self.queues.len() - 1
            }
        };
        let queue = &mut self.queues[at];
        if let Some(worker) = WORKER.with_borrow(Clone::clone)
            && queue.listeners.iter().all(|(known, _)| *known != machine)
        {
            queue.listeners.push_back((machine, worker));
        }
        Ok(at as u32 + 1)
    }

    fn queue(&mut self, id: u32) -> std::result::Result<&mut Queue, Status> {
        let at = (id as usize).checked_sub(1).ok_or(Status::NotFound)?;
        self.queues.get_mut(at).ok_or(Status::NotFound)
    }

    /// Adds an item, and tells one of those who listen: each worker has its turn.
    fn enqueue(&mut self, id: u32, item: Bytes) -> std::result::Result<(), Status> {
        let queue = self.queue(id)?;
        if queue.octets + item.len() + ENTRY > QUEUE_ROOM {
            return Err(Status::InternalFailure);
        }
        queue.octets += item.len() + ENTRY;
        queue.items.push_back(item);
        // Whose worker has ended listens no more.
        while let Some((machine, worker)) = queue.listeners.pop_front() {
            if worker.send((machine, id)).is_ok() {
                queue.listeners.push_back((machine, worker));
                break;
            }
        }
        Ok(())
    }

    fn dequeue(&mut self, id: u32) -> std::result::Result<Bytes, Status> {
        let queue = self.queue(id)?;
        let item = queue.items.pop_front().ok_or(Status::Empty)?;
        queue.octets -= item.len() + ENTRY;
        Ok(item)
    }
}

/// A machine is no more: it listens to nothing.
pub(in crate::wasm) fn forget(machine: u64) {
    for queue in &mut lock().queues {
        queue.listeners.retain(|(known, _)| *known != machine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_replaced_by_whoever_has_seen_it() {
        let mut shared = Shared::default();
        shared.set(b"k".to_vec(), Bytes::from_static(b"1"), 0).unwrap();
        let number = shared.data[&b"k"[..]].number;
        assert_eq!(shared.set(b"k".to_vec(), Bytes::from_static(b"2"), number + 1), Err(Status::CasMismatch));
        assert_eq!(shared.set(b"k".to_vec(), Bytes::from_static(b"2"), number), Ok(()));
        assert_eq!(shared.data[&b"k"[..]].value, "2");
        assert_eq!(shared.set(b"other".to_vec(), Bytes::new(), 7), Err(Status::CasMismatch));
    }

    #[test]
    fn what_is_oldest_makes_room() {
        let mut shared = Shared { room: 3 * (ENTRY + 12), ..Shared::default() };
        for key in [b"a", b"b", b"c"] {
            shared.set(key.to_vec(), Bytes::from_static(b"0123456789"), 0).unwrap();
        }
        shared.set(b"a".to_vec(), Bytes::from_static(b"0123456789"), 0).unwrap();
        shared.set(b"d".to_vec(), Bytes::from_static(b"0123456789"), 0).unwrap();
        let mut keys: Vec<&Vec<u8>> = shared.data.keys().collect();
        keys.sort();
        assert_eq!(keys, [b"a", b"c", b"d"]);
        assert!(shared.octets <= shared.room);
        assert_eq!(shared.set(b"e".to_vec(), vec![0; shared.room].into(), 0), Err(Status::InternalFailure));
        for _ in 0..1000 {
            shared.set(b"a".to_vec(), Bytes::new(), 0).unwrap();
        }
        assert!(shared.written.len() < 100);
    }

    #[test]
    fn queues_give_back_what_they_were_given() {
        let mut shared = Shared::default();
        let id = shared.register("q".to_owned(), 1).unwrap();
        assert_eq!(shared.register("q".to_owned(), 2), Ok(id));
        assert_eq!(shared.dequeue(id), Err(Status::Empty));
        shared.enqueue(id, Bytes::from_static(b"one")).unwrap();
        assert_eq!(shared.dequeue(id).unwrap(), "one");
        assert_eq!(shared.enqueue(id + 1, Bytes::new()), Err(Status::NotFound));
        assert_eq!(shared.enqueue(id, vec![0; QUEUE_ROOM].into()), Err(Status::InternalFailure));
    }
}
