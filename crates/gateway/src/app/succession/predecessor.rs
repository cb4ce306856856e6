//! The node whose place a process takes, as its successor sees it.

use super::line::Line;
use proxy::listener::{Inherited, Offer};

/// The node that has started this process.
pub struct Predecessor(Line);

impl Predecessor {
    /// The one that this process has on its standard input.
    pub fn of_process() -> Result<Predecessor, String> {
        Line::of_stdin().map(Predecessor).map_err(failed)
    }

    /// The listening sockets that it hands over.
    pub fn sockets(&self) -> Result<Inherited, String> {
        let mut offers: Vec<Offer> = Vec::new();
        loop {
            let (text, sockets) = self.0.receive().map_err(failed)?;
            match (text.strip_prefix("socket "), offers.last_mut()) {
                (Some(name), _) => offers.push(Offer { name: name.to_owned(), sockets }),
                // What one message had no room for.
                (None, Some(begun)) if text == "more" => begun.sockets.extend(sockets),
                _ => break,
            }
        }
        let mut inherited = Inherited::default();
        offers.into_iter().for_each(|offer| inherited.put(offer));
        Ok(inherited)
    }

    /// Says that this process can serve, and waits for the word to do so.
    pub fn await_word(&self) -> Result<(), String> {
        self.0.send("ready", &[]).and_then(|()| self.0.receive()).map(drop).map_err(failed)
    }

    /// Says that this process serves. The other one may be gone already.
    pub fn tell_serving(&self) {
        let _ = self.0.send("serving", &[]);
    }

    /// Says why this process will not take over. The other one may be gone already.
    pub fn tell_failed(&self, why: &str) {
        let _ = self.0.send(&format!("failed {why}"), &[]);
    }
}

fn failed(error: std::io::Error) -> String {
    format!("the node whose place this process is to take: {error}")
}
