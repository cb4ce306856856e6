//! The lines by which services are told who the caller is.

use crate::{Fields, Known};
use model::entities::{Consumer, Uuid};
use std::cell::RefCell;

/// The names of these lines.
const NAMES: [Known; 5] = [
    Known::XConsumerId,
    Known::XConsumerCustomId,
    Known::XConsumerUsername,
    Known::XCredentialIdentifier,
    Known::XAnonymousConsumer,
];

/// For so many callers a thread has the lines at hand.
const CALLERS: usize = 64;

/// Lines, and whom they are about: those who call often are told of in the same words each time.
struct Told {
    credential: Option<Uuid>,
    consumer: Uuid,
    username: Option<String>,
    custom_id: Option<String>,
    lines: Fields,
}

thread_local! {
    static TOLD: RefCell<[Option<Box<Told>>; CALLERS]> = const { RefCell::new([const { None }; CALLERS]) };
}

/// Tells of a caller, in place of what the client may have sent under these names.
pub(super) fn tell(fields: &mut Fields, consumer: Option<&Consumer>, credential: Option<Uuid>) {
    if fields.may_have(&NAMES) {
        for name in NAMES {
            fields.remove_known(name);
        }
    }
    let Some(consumer) = consumer else { return write(fields, None, credential) };
    TOLD.with_borrow_mut(|told| {
        let told = &mut told[place(&consumer.id, credential.as_ref())];
        match told {
            Some(told) if told.is_about(consumer, credential) => fields.append_all(&told.lines),
            told => fields.append_all(&told.insert(Told::new(consumer, credential)).lines),
        }
    });
}

/// Where a caller has its place.
fn place(consumer: &Uuid, credential: Option<&Uuid>) -> usize {
    let last = |id: &Uuid| usize::from(id.as_bytes()[15]);
    (last(consumer) ^ credential.map_or(0, last)) % CALLERS
}

fn write(fields: &mut Fields, consumer: Option<&Consumer>, credential: Option<Uuid>) {
    let mut line = |name: Known, value: Option<&str>| {
        if let Some(value) = value.filter(|value| Fields::is_valid_value(value.as_bytes())) {
            fields.append_known(name, value.as_bytes());
        }
    };
    let (mut id, mut identifier) = (Uuid::encode_buffer(), Uuid::encode_buffer());
    line(Known::XConsumerId, consumer.map(|consumer| &*consumer.id.hyphenated().encode_lower(&mut id)));
    line(Known::XConsumerCustomId, consumer.and_then(|consumer| consumer.custom_id.as_deref()));
    line(Known::XConsumerUsername, consumer.and_then(|consumer| consumer.username.as_deref()));
    line(Known::XCredentialIdentifier, credential.as_ref().map(|c| &*c.hyphenated().encode_lower(&mut identifier)));
    line(Known::XAnonymousConsumer, credential.is_none().then_some("true"));
}

impl Told {
    fn new(consumer: &Consumer, credential: Option<Uuid>) -> Box<Told> {
        let mut lines = Fields::new();
        write(&mut lines, Some(consumer), credential);
        let (username, custom_id) = (consumer.username.clone(), consumer.custom_id.clone());
        Box::new(Told { credential, consumer: consumer.id, username, custom_id, lines })
    }

    /// Whether a change of the configuration has made no other of the caller.
    fn is_about(&self, consumer: &Consumer, credential: Option<Uuid>) -> bool {
        self.consumer == consumer.id
            && self.credential == credential
            && self.username == consumer.username
            && self.custom_id == consumer.custom_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(id: u128, username: Option<&str>, custom_id: Option<&str>) -> Consumer {
        Consumer {
            id: Uuid::from_u128(id),
            workspace: Uuid::nil(),
            username: username.map(str::to_owned),
            custom_id: custom_id.map(str::to_owned),
            created_at: 0,
            updated_at: 0,
            tags: Box::default(),
        }
    }

    fn told(sent: &[(&str, &str)], consumer: Option<&Consumer>, credential: Option<u128>) -> String {
        let mut fields: Fields = sent.iter().copied().collect();
        tell(&mut fields, consumer, credential.map(Uuid::from_u128));
        fields.iter().map(|(name, value)| format!("{name}: {};", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn each_caller_has_its_own_lines() {
        let id = |number: u128| Uuid::from_u128(number).to_string();
        // All of them have the same place.
        for (number, credential) in [(1, 2), (1, 2), (65, 2), (1, 66), (1, 2)] {
            let ada = consumer(number, Some("ada"), None);
            let expected = format!(
                "X-Consumer-ID: {};X-Consumer-Username: ada;X-Credential-Identifier: {};",
                id(number),
                id(credential)
            );
            assert_eq!(told(&[], Some(&ada), Some(credential)), expected);
        }
    }

    #[test]
    fn changes_are_told() {
        let about = |username, custom_id| told(&[], Some(&consumer(7, username, custom_id)), None);
        let id = Uuid::from_u128(7);
        for _ in 0..2 {
            assert_eq!(
                about(Some("a"), None),
                format!("X-Consumer-ID: {id};X-Consumer-Username: a;X-Anonymous-Consumer: true;")
            );
            assert_eq!(
                about(Some("b"), Some("c")),
                format!(
                    "X-Consumer-ID: {id};X-Consumer-Custom-ID: c;X-Consumer-Username: b;X-Anonymous-Consumer: true;"
                )
            );
            // What cannot stand in a line is left out.
            assert_eq!(about(Some("b\r\nc"), None), format!("X-Consumer-ID: {id};X-Anonymous-Consumer: true;"));
        }
    }

    #[test]
    fn what_the_client_says_of_itself_does_not_go_on() {
        let sent = [("X-Consumer-Id", "1"), ("A", "b"), ("x-consumer-username", "root"), ("X-Anonymous-Consumer", "x")];
        assert_eq!(told(&sent, None, Some(3)), format!("A: b;X-Credential-Identifier: {};", Uuid::from_u128(3)));
        let guest = consumer(9, None, None);
        assert_eq!(
            told(&sent, Some(&guest), None),
            format!("A: b;X-Consumer-ID: {};X-Anonymous-Consumer: true;", guest.id)
        );
    }
}
