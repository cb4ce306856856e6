//! The streams beside requests (RFC 9114, section 6.2): ours with our settings, the client's with its own, and those of
//! QPACK, which have nothing to say without a dynamic table.

use super::connection::{Goaway, Load, grace};
use super::frame;
use super::receiving::{Ended, Receiving};
use crate::net::Timer;
use quinn::{RecvStream, VarInt};
use std::cell::Cell;
use std::collections::HashSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// What streams are for.
const CONTROL: u64 = 0;
const PUSH: u64 = 1;
const ENCODER: u64 = 2;
const DECODER: u64 = 3;
/// The largest head that is taken (`SETTINGS_MAX_FIELD_SECTION_SIZE`).
const MAX_FIELD_SECTION_SIZE: u64 = 6;
/// Tunnels can be asked for (`SETTINGS_ENABLE_CONNECT_PROTOCOL`, RFC 9220).
const ENABLE_CONNECT_PROTOCOL: u64 = 8;
/// As many octets that serve no request a stream beside requests counts as.
const STREAM_COST: usize = 4096;
/// The last stream that there can be for a request: none that a client has opened is refused.
const LAST_STREAM: u64 = (1 << 62) - 4;
/// More octets of settings are an attack.
const MOST_SETTINGS: u64 = 4096;

/// The streams of the client that may exist only once.
#[derive(Default)]
struct Seen([Cell<bool>; 4]);

/// Serves the streams of a connection that are not requests, until it is over. `head`: the largest that is taken.
pub(super) async fn drive(connection: quinn::Connection, load: Rc<Load>, goaway: Rc<Goaway>, head: u64, timer: Timer) {
    let Ok(mut control) = connection.open_uni().await else { return };
    let mut text = Vec::new();
    frame::push_integer(&mut text, CONTROL);
    let mut settings = Vec::new();
    frame::push_integer(&mut settings, MAX_FIELD_SECTION_SIZE);
    frame::push_integer(&mut settings, head);
    frame::push_integer(&mut settings, ENABLE_CONNECT_PROTOCOL);
    frame::push_integer(&mut settings, 1);
    frame::push_header(&mut text, frame::SETTINGS, settings.len());
    text.extend_from_slice(&settings);
    if control.write_all(&text).await.is_err() {
        return;
    }
    let seen = Rc::<Seen>::default();
    // Streams are awaited that the client opened before it heard of the end.
    let mut waits = false;
    loop {
        tokio::select! {
            accepted = connection.accept_uni() => {
                let Ok(stream) = accepted else { return };
                // Streams that are for nothing are refused as fast as they come, but not for ever.
                if !load.take(STREAM_COST) {
                    return;
                }
                let (connection, load, seen) = (connection.clone(), Rc::clone(&load), Rc::clone(&seen));
                // There are few at a time (`max_concurrent_uni_streams`), and they end with the connection.
                tokio::task::spawn_local(Box::pin(async move {
                    if let Err(code) = read(stream, load, &seen).await {
                        connection.close(code, b"");
                    }
                }));
            }
            () = goaway.said.notified() => {
                let mut id = Vec::new();
                // Streams of clients for requests have every fourth number (RFC 9000, section 2.1).
                frame::push_integer(&mut id, goaway.from.get().map_or(LAST_STREAM, |from| from * 4));
                let mut text = Vec::new();
                frame::push_header(&mut text, frame::GOAWAY, id.len());
                text.extend_from_slice(&id);
                if control.write_all(&text).await.is_err() {
                    return;
                }
                waits = goaway.from.get().is_none();
                if waits {
                    timer.arm(grace(&connection));
                }
            }
            () = poll_fn(|cx| if timer.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }), if waits => {
                waits = false;
                goaway.close();
            }
        }
    }
}

/// Reads a stream to its end; the error is that of the connection.
async fn read(stream: RecvStream, load: Rc<Load>, seen: &Seen) -> Result<(), VarInt> {
    let mut receiving = Receiving::new(stream, load);
    // One that ends before it is known what it is for is none.
    let Ok(Some(kind)) = poll_fn(|cx| receiving.poll_integer(cx)).await else { return Ok(()) };
    match kind {
        PUSH => return Err(frame::STREAM_CREATION_ERROR),
        CONTROL | ENCODER | DECODER if seen.0[kind as usize].replace(true) => {
            return Err(frame::STREAM_CREATION_ERROR);
        }
        CONTROL => control(&mut receiving).await?,
        ENCODER => encoder(&mut receiving).await?,
        DECODER => decoder(&mut receiving).await?,
        _ => {
            receiving.stop(frame::STREAM_CREATION_ERROR);
            return Ok(());
        }
    }
    Err(frame::CLOSED_CRITICAL_STREAM)
}

/// The client's control stream.
async fn control(receiving: &mut Receiving) -> Result<(), VarInt> {
    let mut first = true;
    // What the client has said last of its end, and of pushes: the former may but fall, the latter but grow.
    let (mut end, mut pushes) = (u64::MAX, 0);
    loop {
        let header = match poll_fn(|cx| receiving.poll_header(cx)).await {
            Ok(Some(header)) => header,
            Ok(None) | Err(Ended::Reset) => return Ok(()),
            Err(Ended::Truncated) => return Err(frame::FRAME_ERROR),
        };
        if first != (header.kind == frame::SETTINGS) {
            return Err(if first { frame::MISSING_SETTINGS } else { frame::FRAME_UNEXPECTED });
        }
        first = false;
        match header.kind {
            frame::SETTINGS if header.length > MOST_SETTINGS => return Err(frame::EXCESSIVE_LOAD),
            frame::SETTINGS => {
                let mut settings = Vec::new();
                poll_fn(|cx| receiving.poll_whole(cx, &mut settings)).await.map_err(|_| frame::FRAME_ERROR)?;
                check_settings(&settings)?;
            }
            // We promise nothing that could be cancelled.
            frame::CANCEL_PUSH => return Err(frame::ID_ERROR),
            frame::DATA | frame::HEADERS | frame::PUSH_PROMISE => return Err(frame::FRAME_UNEXPECTED),
            kind if frame::is_reserved(kind) => return Err(frame::FRAME_UNEXPECTED),
            // What a client says of pushes and of its end changes nothing for a server that does not push, but it must
            // be well formed (section 5.2 and 7.2.7).
            frame::GOAWAY | frame::MAX_PUSH_ID => {
                let id = id(receiving, header.length).await?;
                let (known, grown) = match header.kind {
                    frame::GOAWAY => (std::mem::replace(&mut end, id), true),
                    _ => (std::mem::replace(&mut pushes, id), false),
                };
                if id != known && (id > known) == grown {
                    return Err(frame::ID_ERROR);
                }
            }
            _ => poll_fn(|cx| receiving.poll_skip(cx)).await.map_err(|_| frame::FRAME_ERROR)?,
        }
    }
}

/// The only integer in a frame.
async fn id(receiving: &mut Receiving, length: u64) -> Result<u64, VarInt> {
    if length > 8 {
        return Err(frame::FRAME_ERROR);
    }
    let mut octets = Vec::new();
    poll_fn(|cx| receiving.poll_whole(cx, &mut octets)).await.map_err(|_| frame::FRAME_ERROR)?;
    frame::integer(&octets).filter(|(_, n)| *n == octets.len()).map(|(id, _)| id).ok_or(frame::FRAME_ERROR)
}

/// The settings of a client: we need none of them, but they must be well formed.
fn check_settings(mut rest: &[u8]) -> Result<(), VarInt> {
    let mut seen = HashSet::new();
    while !rest.is_empty() {
        let (name, n) = frame::integer(rest).ok_or(frame::FRAME_ERROR)?;
        let (_, m) = frame::integer(&rest[n..]).ok_or(frame::FRAME_ERROR)?;
        rest = &rest[n + m..];
        // Those of HTTP/2 (section 7.2.4.1), and what is said twice.
        if matches!(name, 0x2..=0x5) || !seen.insert(name) {
            return Err(frame::SETTINGS_ERROR);
        }
    }
    Ok(())
}

/// The stream on which a client fills our dynamic table: there is none, so that it can but say so.
async fn encoder(receiving: &mut Receiving) -> Result<(), VarInt> {
    // RFC 9204, section 4.3.1: a capacity of 0, an octet that reads like the integer of a frame.
    const NO_CAPACITY: u64 = 0x20;
    loop {
        match poll_fn(|cx| receiving.poll_integer(cx)).await {
            Ok(Some(NO_CAPACITY)) => {}
            Ok(Some(_)) | Err(Ended::Truncated) => return Err(frame::ENCODER_STREAM_ERROR),
            Ok(None) | Err(Ended::Reset) => return Ok(()),
        }
    }
}

/// The stream on which a client says what it has read of our dynamic table: there is none, so that all it can say is
/// that it does not read a stream (RFC 9204, section 4.4.2).
async fn decoder(receiving: &mut Receiving) -> Result<(), VarInt> {
    loop {
        match poll_fn(|cx| receiving.poll_single(cx)).await {
            Ok(Some(octet)) if octet & 0xc0 == 0x40 => {
                // The number goes on in octets that have another behind them (RFC 7541, section 5.1).
                let mut more = octet & 0x3f == 0x3f;
                while more {
                    match poll_fn(|cx| receiving.poll_single(cx)).await {
                        Ok(Some(octet)) => more = octet & 0x80 != 0,
                        _ => return Ok(()),
                    }
                }
            }
            Ok(Some(_)) => return Err(frame::DECODER_STREAM_ERROR),
            Ok(None) | Err(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        assert_eq!(check_settings(&[]), Ok(()));
        assert_eq!(check_settings(&[6, 1, 1, 0, 0x21, 0x40, 0x40]), Ok(()));
        assert_eq!(check_settings(&[6, 1, 6, 1]), Err(frame::SETTINGS_ERROR));
        assert_eq!(check_settings(&[2, 1]), Err(frame::SETTINGS_ERROR));
        assert_eq!(check_settings(&[6]), Err(frame::FRAME_ERROR));
        assert_eq!(check_settings(&[6, 0x40]), Err(frame::FRAME_ERROR));
    }
}
