//! The live view: one watch of the data plane, shown to all who watch the node.

use super::plane::Plane;
use admin::Pictures;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Those who watch a node.
pub struct LiveView {
    plane: Arc<Plane>,
    /// What is said of the node with each picture.
    node: Map<String, Value>,
    control: Handle,
    pictures: watch::Sender<Option<Arc<str>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Pictures are taken.
    runs: bool,
    /// When the last one has come.
    asked: Option<Instant>,
}

/// Between two pictures.
const INTERVAL: Duration = Duration::from_secs(1);
/// Pictures are taken for that much longer, for who asks now and then.
const LINGER: Duration = Duration::from_secs(5);
/// So many may watch at once.
const MOST: usize = 32;

impl LiveView {
    /// Of the node with that id; pictures are taken on the present runtime.
    pub fn new(plane: Arc<Plane>, id: &str, hostname: &str) -> Arc<LiveView> {
        let node = json!({ "node_id": id, "hostname": hostname, "version": env!("CARGO_PKG_VERSION") });
        let Value::Object(node) = node else { unreachable!("an object was written") };
        let (control, pictures) = (Handle::current(), watch::Sender::new(None));
        Arc::new(LiveView { plane, node, control, pictures, state: Mutex::default() })
    }

    /// Pictures as text of JSON, from the next one on (or the last, if that is no older than the interval); `None`
    /// when too many watch already.
    pub fn watch(self: &Arc<LiveView>) -> Option<Pictures> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.pictures.receiver_count() >= MOST {
            return None;
        }
        let mut receiver = self.pictures.subscribe();
        if receiver.borrow().is_some() {
            receiver.mark_changed();
        }
        state.asked = Some(Instant::now());
        if !std::mem::replace(&mut state.runs, true) {
            self.control.spawn(Arc::clone(self).take_pictures());
        }
        let pictures = stream::unfold(receiver, |mut receiver| async move {
            loop {
                receiver.changed().await.ok()?;
                let picture = receiver.borrow_and_update().clone();
                if let Some(picture) = picture {
                    return Some((picture, receiver));
                }
            }
        });
        Some(Pictures::new(pictures.boxed()))
    }

    /// Until nobody watches any more.
    async fn take_pictures(self: Arc<LiveView>) {
        let mut watch = self.plane.watch();
        let mut tick = tokio::time::interval_at((Instant::now() + INTERVAL).into(), INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.is_over() {
                return;
            }
            let mut picture = self.node.clone();
            picture.extend(watch.picture().json);
            self.pictures.send_replace(Some(Value::Object(picture).to_string().into()));
        }
    }

    fn is_over(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.pictures.receiver_count() > 0 {
            state.asked = Some(Instant::now());
        }
        let over = state.asked.is_none_or(|asked| asked.elapsed() > LINGER);
        if over {
            state.runs = false;
            self.pictures.send_replace(None);
        }
        over
    }
}
