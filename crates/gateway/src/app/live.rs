//! The live view: one watch of the data plane, shown to all who watch the node, and requests for each who looks at
//! them.

use super::plane::Plane;
use admin::{Pictures, WantedRequests};
use futures_util::StreamExt;
use futures_util::stream;
use proxy::live::{RequestFilter, WantedUpstreams};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
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
    pictures: watch::Sender<Option<Arc<Shown>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Pictures are taken.
    runs: bool,
    /// When the last one has come.
    asked: Option<Instant>,
    /// Of which upstreams each of those who watch wants to see the targets.
    wanted: Vec<WantedUpstreams>,
}

/// A picture as text, in parts.
struct Shown {
    /// An object without its closing brace.
    head: String,
    /// Ids, names and texts.
    upstreams: Vec<(String, String, String)>,
    /// Which upstreams were wanted when it was taken.
    wanted: WantedUpstreams,
}

/// Has upstreams shown as long as it is there.
struct Wish {
    view: Arc<LiveView>,
    upstreams: WantedUpstreams,
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

    /// Pictures as text of JSON, from the next one on (or the last, if that is no older than the interval and has those
    /// upstreams, which are all for `None`); `None` when too many watch already.
    pub fn watch(self: &Arc<LiveView>, upstreams: Option<Vec<String>>) -> Option<Pictures> {
        let named = |names: Vec<String>| WantedUpstreams::Named(names.into_iter().collect());
        let upstreams = upstreams.map_or(WantedUpstreams::All, named);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.pictures.receiver_count() >= MOST {
            return None;
        }
        let mut receiver = self.pictures.subscribe();
        if receiver.borrow().is_some() {
            receiver.mark_changed();
        }
        state.asked = Some(Instant::now());
        state.wanted.push(upstreams.clone());
        let wish = Wish { view: Arc::clone(self), upstreams };
        if !std::mem::replace(&mut state.runs, true) {
            self.control.spawn(Arc::clone(self).take_pictures());
        }
        let pictures = stream::unfold((receiver, wish), |(mut receiver, wish)| async move {
            loop {
                receiver.changed().await.ok()?;
                let picture = receiver.borrow_and_update().clone();
                if let Some(text) = picture.and_then(|picture| picture.text(&wish.upstreams)) {
                    return Some((text, (receiver, wish)));
                }
            }
        });
        Some(Pictures::new("live", pictures.boxed()))
    }

    /// Requests as they end, those of each interval together; `None` when too many look already.
    pub fn requests(&self, wanted: WantedRequests) -> Option<Pictures> {
        let WantedRequests { method, status, route } = wanted;
        let view = self.plane.look(RequestFilter { method, status, route })?;
        let mut tick = tokio::time::interval_at((Instant::now() + INTERVAL).into(), INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let pictures = stream::unfold((view, tick), |(view, mut tick)| async move {
            tick.tick().await;
            let requests = view.take().json().into();
            Some((requests, (view, tick)))
        });
        Some(Pictures::new("requests", pictures.boxed()))
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
            let wanted = self.wanted();
            let picture = watch.picture(&wanted);
            let mut head = self.node.clone();
            head.extend(picture.json);
            self.pictures.send_replace(Some(Arc::new(Shown::new(head, &picture.upstreams, wanted))));
        }
    }

    /// What any of those who watch wants to see.
    fn wanted(&self) -> WantedUpstreams {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = HashSet::new();
        for wanted in &state.wanted {
            match wanted {
                WantedUpstreams::All => return WantedUpstreams::All,
                WantedUpstreams::Named(names) => all.extend(names.iter().cloned()),
            }
        }
        WantedUpstreams::Named(all)
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

impl Shown {
    fn new(head: Map<String, Value>, upstreams: &[Value], wanted: WantedUpstreams) -> Shown {
        let text = |upstream: &Value, name: &str| upstream[name].as_str().unwrap_or_default().to_owned();
        let part = |upstream: &Value| (text(upstream, "id"), text(upstream, "name"), upstream.to_string());
        let mut head = Value::Object(head).to_string();
        head.pop();
        Shown { head, upstreams: upstreams.iter().map(part).collect(), wanted }
    }

    /// The picture with those upstreams; `None`: it was taken without them.
    fn text(&self, asked: &WantedUpstreams) -> Option<Arc<str>> {
        let is_asked = |id: &String, name: &String| match asked {
            WantedUpstreams::All => true,
            WantedUpstreams::Named(names) => names.contains(id) || names.contains(name),
        };
        match (&self.wanted, asked) {
            (WantedUpstreams::All, _) => {}
            (WantedUpstreams::Named(there), WantedUpstreams::Named(names)) if names.is_subset(there) => {}
            _ => return None,
        }
        let parts = self.upstreams.iter().filter(|(id, name, _)| is_asked(id, name));
        let upstreams: Vec<&str> = parts.map(|(_, _, text)| &**text).collect();
        Some(format!("{},\"upstreams\":[{}]}}", self.head, upstreams.join(",")).into())
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        let mut state = self.view.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = state.wanted.iter().position(|wanted| *wanted == self.upstreams) {
            state.wanted.swap_remove(at);
        }
    }
}
