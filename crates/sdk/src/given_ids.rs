//! Ids of callers that code has made itself, such as the subject of a token, which need not be UUIDs.

use aws_lc_rs::digest::{SHA256, digest};
use model::entities::Uuid;

/// What code has called the consumer and the credential of an exchange, where these are no UUIDs.
#[derive(Clone, Debug, Default)]
pub struct GivenIds(Vec<(Uuid, Box<str>)>);

impl GivenIds {
    /// The id by which plugins tell callers apart: the one that is given where it is a UUID, else one that is made of
    /// it, so that different texts are different callers.
    pub fn take(&mut self, text: &str) -> Uuid {
        // Other ways of writing a UUID are texts of their own.
        if let (36, Ok(id)) = (text.len(), Uuid::parse_str(text)) {
            return id;
        }
        let mut octets = [0; 16];
        octets.copy_from_slice(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
        // A UUID of version 8, which no record has by chance.
        octets[6] = octets[6] & 0x0f | 0x80;
        octets[8] = octets[8] & 0x3f | 0x80;
        let id = Uuid::from_bytes(octets);
        if self.text(&id).is_none() {
            self.0.push((id, text.into()));
        }
        id
    }

    /// Forgets what was given.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What has been given in the place of that id.
    pub fn text(&self, id: &Uuid) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, text)| &**text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_texts_are_different_ids() {
        let mut given = GivenIds::default();
        let (ann, joe) = (given.take("ann"), given.take("joe"));
        assert_ne!(ann, joe);
        assert_eq!(ann, GivenIds::default().take("ann"));
        assert_eq!((ann.get_version_num(), given.text(&ann)), (8, Some("ann")));
        let id = given.take("0dc6f45b-8f8d-40d2-a504-473544ee190b");
        assert_eq!(id.to_string(), "0dc6f45b-8f8d-40d2-a504-473544ee190b");
        assert_eq!(given.text(&id), None);
        assert_ne!(given.take("0dc6f45b8f8d40d2a504473544ee190b"), id);
    }
}
