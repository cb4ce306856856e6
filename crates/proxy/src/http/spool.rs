//! Content that waits on disk because it is too large for memory: the rest of a request before its service is asked,
//! the rest of a response whose client is slow.
//!
//! The file has no name and goes with its last handle. A worker never touches the disk itself: what is to be written is
//! gathered and given to the blocking pool, one piece at a time.

use crate::listener::Descriptors;
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;
use wire::net::out_of_descriptors;

/// Octets that are written or read at a time.
const PIECE: usize = 128 * 1024;

/// A queue of octets, the front of which is in a file. What was read can be read again.
pub(crate) struct Spool {
    directory: Arc<Path>,
    file: Option<Arc<File>>,
    /// How many octets are in the file.
    stored: u64,
    /// What follows them, not yet in the file.
    gathered: Vec<u8>,
    writing: Option<JoinHandle<io::Result<Written>>>,
    /// Octets that are being written.
    under_way: u64,
    /// From where, and what is there.
    reading: Option<(u64, JoinHandle<io::Result<Vec<u8>>>)>,
    /// Something could not be written, so that the rest is worth nothing.
    failed: Option<io::ErrorKind>,
}

struct Written {
    file: Arc<File>,
    /// What was written.
    octets: Vec<u8>,
}

impl Spool {
    /// An empty queue whose file will be made in that directory.
    pub fn new(directory: &Arc<Path>) -> Spool {
        Spool {
            directory: Arc::clone(directory),
            file: None,
            stored: 0,
            gathered: Vec::new(),
            writing: None,
            under_way: 0,
            reading: None,
            failed: None,
        }
    }

    /// How many octets were put in.
    pub fn len(&self) -> u64 {
        self.stored + self.under_way + self.gathered.len() as u64
    }

    /// Ready when more can be put in.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathered.len() >= PIECE {
            ready!(self.poll_stored(cx))?;
            self.store();
        }
        match self.failed {
            Some(error) => Poll::Ready(Err(error.into())),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Puts octets in, at the end; to be called when [`Spool::poll_ready`] is.
    pub fn push(&mut self, octets: &[u8]) {
        self.gathered.extend_from_slice(octets);
    }

    /// The octets from that offset on, some at a time; none at the end of what there is.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, offset: u64) -> Poll<io::Result<Bytes>> {
        if offset >= self.stored {
            ready!(self.poll_stored(cx))?;
        }
        if let Some(skip) = offset.checked_sub(self.stored) {
            let rest = self.gathered.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
            return Poll::Ready(Ok(Bytes::copy_from_slice(rest)));
        }
        loop {
            if let Some((from, job)) = &mut self.reading {
                let octets = flatten(ready!(Pin::new(job).poll(cx)));
                let wanted = *from == offset;
                self.reading = None;
                if wanted {
                    return Poll::Ready(octets.map(Bytes::from));
                }
            }
            let Some(file) = self.file.clone() else { return Poll::Ready(Err(io::ErrorKind::NotFound.into())) };
            let length = usize::try_from(self.stored - offset).unwrap_or(PIECE).min(PIECE);
            let job = tokio::task::spawn_blocking(move || {
                let mut octets = vec![0; length];
                file.read_exact_at(&mut octets, offset)?;
                Ok(octets)
            });
            self.reading = Some((offset, job));
        }
    }

    /// Forgets everything, which has been read, and uses the file again; false while it is being written to.
    pub fn restart(&mut self) -> bool {
        if self.writing.is_some() {
            return false;
        }
        self.stored = 0;
        self.gathered.clear();
        true
    }

    /// Begins to store what is gathered.
    fn store(&mut self) {
        let (directory, file, at) = (Arc::clone(&self.directory), self.file.clone(), self.stored);
        let octets = std::mem::take(&mut self.gathered);
        self.under_way = octets.len() as u64;
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => {
                    let file = tempfile::tempfile_in(&directory)?;
                    // What services may have, contents may have, and no more.
                    if !Descriptors::of_process().allow_service(&file) {
                        return Err(out_of_descriptors());
                    }
                    Arc::new(file)
                }
            };
            file.write_all_at(&octets, at)?;
            Ok(Written { file, octets })
        }));
    }

    /// Ready when nothing is being stored.
    fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(job) = &mut self.writing {
            let written = flatten(ready!(Pin::new(job).poll(cx)));
            self.writing = None;
            self.under_way = 0;
            let Written { file, mut octets } = written.inspect_err(|error| self.failed = Some(error.kind()))?;
            self.stored += octets.len() as u64;
            self.file = Some(file);
            if self.gathered.is_empty() {
                octets.clear();
                self.gathered = octets;
            }
        }
        match self.failed {
            Some(error) => Poll::Ready(Err(error.into())),
            None => Poll::Ready(Ok(())),
        }
    }
}

fn flatten<T>(result: Result<io::Result<T>, tokio::task::JoinError>) -> io::Result<T> {
    result.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn run(future: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
    }

    #[test]
    fn gives_back_what_was_put_in_from_anywhere() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let mut spool = Spool::new(&Arc::from(directory.path()));
            let content: Vec<u8> = (0..3 * PIECE + 1000).map(|n| (n % 251) as u8).collect();
            for piece in content.chunks(10_000) {
                poll_fn(|cx| spool.poll_ready(cx)).await.unwrap();
                spool.push(piece);
            }
            assert_eq!(spool.len(), content.len() as u64);
            for from in [0, 1, PIECE, 3 * PIECE + 999] {
                let mut read = Vec::new();
                loop {
                    let piece = poll_fn(|cx| spool.poll_read(cx, (from + read.len()) as u64)).await.unwrap();
                    if piece.is_empty() {
                        break;
                    }
                    read.extend_from_slice(&piece);
                }
                assert!(read == content[from..], "from {from}");
            }
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the file has no name");
        });
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        run(async {
            let mut spool = Spool::new(&Arc::from(Path::new("/nonexistent/directory")));
            spool.push(&vec![0; PIECE]);
            poll_fn(|cx| spool.poll_ready(cx)).await.unwrap();
            assert!(poll_fn(|cx| spool.poll_read(cx, 0)).await.is_err());
            assert!(poll_fn(|cx| spool.poll_ready(cx)).await.is_err());
        });
    }
}
