//! What the store does with work that has to be run again.

use super::*;
use backend::{Query, Work, failure};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A backend in which another write comes between all first runs.
struct Contended(Memory);

impl Backend for Contended {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<(), Error>> {
        self.0.read(query)
    }

    fn write(&self, mut work: Work) -> BoxFuture<'_, Result<Revision, Error>> {
        Box::pin(async move {
            let work = Arc::new(Mutex::new(move |writer: &mut dyn backend::Writer| work(writer)));
            let first = Arc::clone(&work);
            let undone = self.0.write(Box::new(move |writer| {
                first.lock().unwrap()(writer)?;
                Err(failure("another write came between"))
            }));
            assert!(undone.await.is_err());
            self.0.write(Box::new(move |writer| work.lock().unwrap()(writer))).await
        })
    }
}

#[tokio::test]
async fn work_that_is_run_again_has_happened_once() {
    let catalog = Arc::new(Catalog::core());
    let layout = Arc::new(Layout::new(&catalog).unwrap());
    let feed = Arc::new(Feed::new(feed::CAPACITY));
    let workspace = scope::default_workspace(&catalog).unwrap();
    let memory = Memory::new(layout.clone(), feed.clone(), workspace);
    let default_workspace = Some(scope::DEFAULT_ID);
    let shared = Shared { catalog, layout, clock: Clock::default(), default_workspace };
    let store = Store::new(shared, Box::new(Contended(memory)), feed);
    let mut follower = store.follow();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let (revision, run) = store
        .transaction(move |transaction| {
            let input = json!({"username": "u"}).as_object().cloned().unwrap();
            transaction.insert("consumers", input)?;
            Ok::<_, Error>(counted.fetch_add(1, Ordering::Relaxed))
        })
        .await
        .unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!(run, 1, "the last run is answered");
    assert_eq!(revision, Revision(1));
    assert_eq!(store.count("consumers").await.unwrap(), 1);
    let (_, commits) = follower.changes().unwrap();
    assert_eq!(commits[0].len(), 1);
    assert_eq!(commits.len(), 1);
}
