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
    /// There was more.
    exceeded: bool,
}

/// Settles how the content of a service's response is delimited after plugins have edited its head. What must be
/// counted then: nothing where the length is the service's own and nobody changes the content.
pub(crate) fn settle(context: &RequestContext<'_>, exchange: &mut Exchange) -> Option<Announced> {
    let filtered = context.selected.iter().any(|instance| instance.phases.has(Phases::BODY_FILTER));
    if !filtered && !edits_length(context, exchange) {
        return None;
    }
    let sent = match exchange.response.framing {
        Framing::Length(octets) => octets,
        Framing::Empty => 0,
        // No length is announced, whatever the lines say.
        Framing::Delimited | Framing::UntilClose => return None,
    };
    let Ok(said) = content_length(&exchange.response.fields) else {
        leave_out(exchange);
        exchange.response.framing = Framing::Delimited;
        return None;
    };
    let said = said?;
    if said == sent && !filtered {
        return None;
    }
    exchange.response.framing = Framing::Length(said);
    Some(Announced { left: said, exceeded: false })
}

/// The same for an answer whose content a plugin makes piece by piece, and says before how long it will be.
pub(crate) fn promised(exchange: &mut Exchange) -> Option<Announced> {
    exchange.response.framing = Framing::Delimited;
    let Ok(said) = content_length(&exchange.response.fields) else {
        leave_out(exchange);
        return None;
    };
    let left = said?;
    exchange.response.framing = Framing::Length(left);
    Some(Announced { left, exceeded: false })
}

/// The same for a response that has no content whatever its head says (to HEAD, 304): of a length only those go out
/// that are one.
pub(crate) fn validate(context: &RequestContext<'_>, exchange: &mut Exchange) {
    if edits_length(context, exchange) && content_length(&exchange.response.fields).is_err() {
        leave_out(exchange);
    }
}

/// Whether plugins may have set another length than the service: header filters, or lines for the response in any case.
fn edits_length(context: &RequestContext<'_>, exchange: &Exchange) -> bool {
    exchange.reply.may_have(&[Known::ContentLength])
        || context.selected.iter().any(|instance| instance.phases.has(Phases::HEADER_FILTER))
}

#[cold]
fn leave_out(exchange: &mut Exchange) {
    tracing::warn!(request_id = exchange.id_str(), "a plugin has set no valid Content-Length: it is left out");
    exchange.response.fields.remove_known(Known::ContentLength);
}

impl Announced {
    /// Takes a piece that is about to be sent: what is more than was announced is cut off.
    pub fn take(&mut self, piece: &mut Bytes) {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        self.exceeded |= piece.len() > most;
        piece.truncate(most);
        self.left -= piece.len() as u64;
    }

    /// Whether nothing is missing at the end of the content. The log is told of what is, and of what was too much.
    pub fn is_kept(&self, exchange: &Exchange) -> bool {
        let request_id = exchange.id_str();
        if self.exceeded {
            tracing::warn!(request_id, "plugins have made more content than Content-Length says: it is cut off");
        }
        if self.left > 0 {
            let why = "plugins have made less content than Content-Length says";
            tracing::warn!(request_id, "{why}: {} octets are missing", self.left);
        }
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_was_announced() {
        let mut announced = Announced { left: 5, exceeded: false };
        let mut taken = |text: &'static [u8]| {
            let mut piece = Bytes::from_static(text);
            announced.take(&mut piece);
            (piece, announced.left, announced.exceeded)
        };
        assert_eq!(taken(b"abc"), (Bytes::from_static(b"abc"), 2, false));
        assert_eq!(taken(b"def"), (Bytes::from_static(b"de"), 0, true));
        assert_eq!(taken(b"g"), (Bytes::new(), 0, true));
    }
}
