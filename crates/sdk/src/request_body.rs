//! The content of a request as plugins see it.

use crate::Bytes;

/// What a plugin can know of the content of a request.
///
/// "Larger than may be held" and "empty" are different answers: a plugin whose task is to judge content refuses what it
/// cannot look at, and one that edits content passes it on unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequestBody {
    /// Nobody has asked for it ([`crate::Phases::READS_BODY`]): it goes to the service as it comes.
    #[default]
    Unread,
    /// All of it; perhaps no octet. In the access phase a plugin can put other content in its place.
    Whole(Bytes),
    /// There is more than `client_body_buffer_size` lets a plugin hold. It goes to the service unchanged.
    TooLarge,
}

impl RequestBody {
    /// All of the content, where it is at hand.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            RequestBody::Whole(bytes) => Some(bytes),
            RequestBody::Unread | RequestBody::TooLarge => None,
        }
    }

    /// Whether there is content that cannot be looked at because of its size.
    pub fn is_too_large(&self) -> bool {
        *self == RequestBody::TooLarge
    }
}

impl<B: Into<Bytes>> From<B> for RequestBody {
    fn from(bytes: B) -> RequestBody {
        RequestBody::Whole(bytes.into())
    }
}
