//! Buffers for reading and writing, lent by a pool per worker, so that idle connections hold none.

use super::FreeList;
use std::rc::Rc;

/// Octets of a buffer: a head of usual size and the beginning of its content in one read.
pub const BUFFER_SIZE: usize = 16 * 1024;
/// Octets of what is written that have room from the start: a head of usual size.
const OUT_SIZE: usize = 2048;
/// How many free buffers of each kind a worker keeps at most.
const KEEP: usize = 256;

/// The free buffers of one worker.
#[derive(Clone)]
pub struct BufferPool(Rc<Free>);

struct Free {
    input: FreeList<Box<[u8]>>,
    output: FreeList<Vec<u8>>,
}

/// Octets that were read and not yet used. Holds memory only while there are some.
pub struct Buffer {
    pool: BufferPool,
    memory: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl BufferPool {
    /// Frees what has not been needed for a while; to be called now and then.
    pub fn shrink(&self) {
        self.0.input.shrink();
        self.0.output.shrink();
    }

    fn take(&self) -> Box<[u8]> {
        self.0.input.take().unwrap_or_else(|| vec![0; BUFFER_SIZE].into_boxed_slice())
    }

    fn give(&self, memory: Box<[u8]>) {
        if memory.len() == BUFFER_SIZE {
            self.0.input.give(memory);
        }
    }

    /// An empty vector to gather in what is to be written.
    pub(crate) fn take_out(&self) -> Vec<u8> {
        self.0.output.take().unwrap_or_else(|| Vec::with_capacity(OUT_SIZE))
    }

    /// Takes one back.
    pub(crate) fn give_out(&self, mut memory: Vec<u8>) {
        if (1..=BUFFER_SIZE).contains(&memory.capacity()) {
            memory.clear();
            self.0.output.give(memory);
        }
    }
}

impl Default for BufferPool {
    fn default() -> BufferPool {
        BufferPool(Rc::new(Free { input: FreeList::new(KEEP), output: FreeList::new(KEEP) }))
    }
}

impl Buffer {
    /// An empty buffer, without memory.
    pub fn new(pool: &BufferPool) -> Buffer {
        Buffer { pool: pool.clone(), memory: None, start: 0, end: 0 }
    }

    /// What was read and not consumed.
    pub fn data(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |m| &m[self.start..self.end])
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops the first `n` octets (`usize::MAX`: all); gives the memory back when nothing is left.
    pub fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.is_empty() {
            self.release();
        }
    }

    /// Room for reading more behind what is there: at least one octet, unless `limit` octets are held already.
    pub fn space(&mut self, limit: usize) -> &mut [u8] {
        let held = self.end - self.start;
        let memory = self.memory.take().unwrap_or_else(|| self.pool.take());
        let memory = if self.end < memory.len() {
            memory
        } else if self.start > 0 {
            let mut memory = memory;
            memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, held);
            memory
        } else if held < limit {
            let mut larger = vec![0; (memory.len() * 2).min(limit.max(BUFFER_SIZE) + 1)].into_boxed_slice();
            larger[..held].copy_from_slice(&memory[..held]);
            self.pool.give(memory);
            larger
        } else {
            memory
        };
        let end = self.end;
        &mut self.memory.insert(memory)[end..]
    }

    /// `n` octets were read into [`Buffer::space`].
    pub fn filled(&mut self, n: usize) {
        self.end += n;
        if self.is_empty() {
            self.release();
        }
    }

    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        if let Some(memory) = self.memory.take() {
            self.pool.give(memory);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_memory_only_while_it_holds_octets() {
        let pool = BufferPool::default();
        let mut buffer = Buffer::new(&pool);
        buffer.space(10)[..3].copy_from_slice(b"abc");
        buffer.filled(3);
        assert_eq!(buffer.data(), b"abc");
        assert!(buffer.memory.is_some());
        buffer.consume(2);
        assert_eq!(buffer.data(), b"c");
        buffer.consume(1);
        assert!(buffer.memory.is_none());
        assert!(pool.0.input.take().is_some());
        buffer.space(10);
        buffer.filled(0);
        assert!(buffer.memory.is_none());
        assert!(pool.0.input.take().is_some());
    }

    #[test]
    fn grows_up_to_the_limit() {
        let pool = BufferPool::default();
        let mut buffer = Buffer::new(&pool);
        let limit = 2 * BUFFER_SIZE;
        loop {
            let space = buffer.space(limit).len();
            if space == 0 {
                break;
            }
            buffer.filled(space);
        }
        assert_eq!(buffer.data().len(), limit);
        buffer.consume(5);
        assert_eq!(buffer.space(limit).len(), 5);
    }
}
