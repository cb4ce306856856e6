//! What peers do wrong: whoever is slow, stalls, vanishes or floods harms nobody but itself.
//!
//! Each case is played over plain and TLS clients (and TLS services where they matter), and with nginx in place of the
//! gateway where it is the measure, so that what is expected is what users of Kong are used to.

mod bodies;
mod buffering;
mod early;
mod heads;
mod interim;
mod large;
mod no_content;
mod quit;
mod refusals;
mod setup;
mod stalled;
mod trust;
mod unread;
mod upgrades;
mod vanished;
