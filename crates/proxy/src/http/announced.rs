//! The length that a response's head announces, held against what plugins make of its content: whoever gets more takes
//! the rest for the next response, and whoever gets less waits for it.

use super::context::RequestContext;
use sdk::{Bytes, Exchange, Known, Phases};
use wire::Framing;
use wire::h1::content_length;

/// How much of the announced content is still to come.
#[derive(Debug)]
pub(crate) struct Announced {
    left: u64,
    /// There was more, which the log has been told.
    exceeded: bool,
}

/// Settles how the content of a service's response is delimited after plugins have edited its head. What must be
/// counted then: nothing where the length is the service's own and nobody changes the content.
pub(crate) fn settle(context: &RequestContext<'_>, exchange: &mut Exchange) -> Option<Announced> {
    if context.selected.is_empty() && exchange.reply.is_empty() {
        return None;
    }
    let sent = match exchange.response.framing {
        Framing::Length(octets) => octets,
        Framing::Empty => 0,
        // No length is announced, whatever the lines say.
        Framing::Delimited | Framing::UntilClose => return None,
    };
    let Ok(said) = content_length(&exchange.response.fields) else {
        tracing::warn!(request_id = exchange.id_str(), "a plugin has set no valid Content-Length: it is left out");
        exchange.response.fields.remove_known(Known::ContentLength);
        exchange.response.framing = Framing::Delimited;
        return None;
    };
    let said = said?;
    let filtered = context.selected.iter().any(|instance| instance.phases.has(Phases::BODY_FILTER));
    if said == sent && !filtered {
        return None;
    }
    exchange.response.framing = Framing::Length(said);
    Some(Announced { left: said, exceeded: false })
}

impl Announced {
    /// Takes a piece that is about to be sent: what is more than was announced is cut off.
    pub fn take(&mut self, piece: &mut Bytes, exchange: &Exchange) {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        if piece.len() > most {
            piece.truncate(most);
            if !std::mem::replace(&mut self.exceeded, true) {
                let request_id = exchange.id_str();
                tracing::warn!(request_id, "plugins have made more content than Content-Length says: it is cut off");
            }
        }
        self.left -= piece.len() as u64;
    }

    /// What is missing at the end of the content.
    pub fn left(&self) -> u64 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_was_announced() {
        let exchange = Exchange::empty();
        let mut announced = Announced { left: 5, exceeded: false };
        let mut taken = |text: &'static [u8]| {
            let mut piece = Bytes::from_static(text);
            announced.take(&mut piece, &exchange);
            (piece, announced.left(), announced.exceeded)
        };
        assert_eq!(taken(b"abc"), (Bytes::from_static(b"abc"), 2, false));
        assert_eq!(taken(b"def"), (Bytes::from_static(b"de"), 0, true));
        assert_eq!(taken(b"g"), (Bytes::new(), 0, true));
    }
}
