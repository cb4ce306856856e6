//! What becomes of entries, with a clock that stands still unless somebody waits.

use super::*;
use model::entities::Uuid;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Notes what is delivered, and when; fails as often as it is told to.
struct Recorder {
    began: Instant,
    /// Milliseconds since the beginning, and the entries.
    batches: Mutex<Vec<(u128, Vec<String>)>>,
    failures: AtomicUsize,
    takes: Duration,
}

impl Recorder {
    fn new(failures: usize, takes: Duration) -> Arc<Recorder> {
        let failures = AtomicUsize::new(failures);
        Arc::new(Recorder { began: Instant::now(), batches: Mutex::default(), failures, takes })
    }

    fn batches(&self) -> Vec<(u128, Vec<String>)> {
        self.batches.lock().unwrap().clone()
    }

    fn entries(&self) -> Vec<String> {
        self.batches().into_iter().flat_map(|(_, batch)| batch).collect()
    }
}

impl Deliver for Recorder {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            sleep(self.takes).await;
            if self.failures.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                return Err("on purpose".to_owned());
            }
            let texts = batch.iter().map(|entry| String::from_utf8_lossy(entry).into_owned()).collect();
            self.batches.lock().unwrap().push((self.began.elapsed().as_millis(), texts));
            Ok(())
        })
    }
}

fn open(env: &Env, settings: QueueSettings, recorder: &Arc<Recorder>) -> Queue {
    let recorder = Arc::clone(recorder);
    let record = json!({ "id": Uuid::nil().to_string(), "name": "test", "protocols": [] });
    let plugin = entities::Plugin::from_record(record.as_object().unwrap()).unwrap();
    Queue::open(env, &plugin, "key", settings, || recorder)
}

fn put(queue: &Queue, entries: &[&str]) {
    entries.iter().for_each(|entry| queue.put(entry.as_bytes().to_vec()));
}

fn texts(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|&entry| entry.to_owned()).collect()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_it_is_full_or_has_waited() {
    let (env, recorder) = (Env::default(), Recorder::new(0, Duration::ZERO));
    let settings = QueueSettings { max_batch_size: 3, max_coalescing_delay: 5 * SECOND, ..QueueSettings::default() };
    let queue = open(&env, settings, &recorder);
    put(&queue, &["a", "b", "c", "d"]);
    sleep(10 * SECOND).await;
    assert_eq!(recorder.batches(), [(0, texts(&["a", "b", "c"])), (5_000, texts(&["d"]))]);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_one_does_not_wait() {
    let (env, recorder) = (Env::default(), Recorder::new(0, Duration::ZERO));
    let queue = open(&env, QueueSettings::default(), &recorder);
    put(&queue, &["a", "b"]);
    sleep(SECOND).await;
    assert_eq!(recorder.batches(), [(0, texts(&["a"])), (0, texts(&["b"]))]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_ever_more_patiently() {
    let (env, recorder) = (Env::default(), Recorder::new(4, Duration::ZERO));
    let settings =
        QueueSettings { initial_retry_delay: SECOND, max_retry_delay: 3 * SECOND, ..QueueSettings::default() };
    let queue = open(&env, settings, &recorder);
    put(&queue, &["a"]);
    sleep(60 * SECOND).await;
    assert_eq!(recorder.batches(), [(1_000 + 2_000 + 3_000 + 3_000, texts(&["a"]))]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_up_and_the_next_one_has_its_turn() {
    let (env, recorder) = (Env::default(), Recorder::new(3, Duration::ZERO));
    let settings = QueueSettings {
        initial_retry_delay: SECOND,
        max_retry_delay: SECOND,
        max_retry_time: Some(SECOND + SECOND / 2),
        ..QueueSettings::default()
    };
    let queue = open(&env, settings, &recorder);
    put(&queue, &["a", "b"]);
    sleep(60 * SECOND).await;
    assert_eq!(recorder.batches(), [(2_000, texts(&["b"]))]);
}

#[tokio::test(start_paused = true)]
async fn without_retries_a_failure_is_final() {
    let (env, recorder) = (Env::default(), Recorder::new(1, Duration::ZERO));
    let queue = open(&env, QueueSettings { max_retry_time: None, ..QueueSettings::default() }, &recorder);
    put(&queue, &["a", "b"]);
    sleep(SECOND).await;
    assert_eq!(recorder.entries(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_forgets_the_oldest() {
    let (env, recorder) = (Env::default(), Recorder::new(0, SECOND));
    let queue = open(&env, QueueSettings { max_entries: 2, ..QueueSettings::default() }, &recorder);
    put(&queue, &["a"]);
    sleep(SECOND / 2).await;
    // The first one is under way.
    put(&queue, &["b", "c", "d"]);
    assert_eq!(queue.len(), 2);
    sleep(60 * SECOND).await;
    assert_eq!(recorder.entries(), ["a", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn octets_are_bounded_too() {
    let (env, recorder) = (Env::default(), Recorder::new(0, SECOND));
    let queue = open(&env, QueueSettings { max_bytes: Some(5), ..QueueSettings::default() }, &recorder);
    put(&queue, &["a"]);
    sleep(SECOND / 2).await;
    put(&queue, &["too large", "bb", "cc", "dd"]);
    sleep(60 * SECOND).await;
    assert_eq!(recorder.entries(), ["a", "cc", "dd"]);
}

#[tokio::test(start_paused = true)]
async fn entries_are_paid_for_from_the_memory_budget() {
    let env = Env::default().with_memory(MemoryBudget::new(10));
    let recorder = Recorder::new(0, SECOND);
    let queue = open(&env, QueueSettings::default(), &recorder);
    put(&queue, &["12345678", "1234", "12"]);
    assert_eq!(env.memory().taken(), 10);
    sleep(60 * SECOND).await;
    assert_eq!(recorder.entries(), ["12345678", "12"]);
    assert_eq!(env.memory().taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_node_waits_for_what_is_left_and_not_for_more() {
    let (env, recorder) = (Env::default(), Recorder::new(1, SECOND));
    let settings = QueueSettings { max_batch_size: 2, max_coalescing_delay: 600 * SECOND, ..QueueSettings::default() };
    let queue = open(&env, settings, &recorder);
    put(&queue, &["a"]);
    sleep(SECOND).await;
    put(&queue, &["b", "c"]);
    env.tasks().drain(60 * SECOND).await;
    assert_eq!(recorder.entries(), ["a", "b", "c"]);
    assert!(recorder.began.elapsed() < 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_does_not_hold_the_node_up() {
    let (env, recorder) = (Env::default(), Recorder::new(usize::MAX, Duration::ZERO));
    let queue = open(&env, QueueSettings::default(), &recorder);
    put(&queue, &["a", "b"]);
    let before = Instant::now();
    env.tasks().drain(5 * SECOND).await;
    assert_eq!(before.elapsed(), 5 * SECOND);
    assert_eq!(recorder.entries(), texts(&[]));
}

#[tokio::test(start_paused = true)]
async fn queues_are_shared_by_key_and_end_with_their_last_handle() {
    let (env, recorder) = (Env::default(), Recorder::new(0, Duration::ZERO));
    let settings = QueueSettings { max_batch_size: 10, max_coalescing_delay: SECOND, ..QueueSettings::default() };
    let first = open(&env, settings.clone(), &recorder);
    let second = open(&env, settings, &Recorder::new(usize::MAX, Duration::ZERO));
    put(&first, &["a"]);
    put(&second, &["b"]);
    drop((first, second));
    sleep(SECOND).await;
    assert_eq!(recorder.batches(), [(0, texts(&["a", "b"]))]);
    // Its task has ended: nothing is left to be waited for.
    env.tasks().drain(Duration::ZERO).await;
    assert_eq!(recorder.began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn deliveries_can_run_side_by_side() {
    let (env, recorder) = (Env::default(), Recorder::new(0, SECOND));
    let queue = open(&env, QueueSettings { concurrent: true, ..QueueSettings::default() }, &recorder);
    (0..150).for_each(|n| queue.put(n.to_string().into_bytes()));
    sleep(60 * SECOND).await;
    let at = |time| recorder.batches().iter().filter(|(at, _)| *at == time).count();
    assert_eq!(at(1_000), Queue::MOST_AT_ONCE);
    assert_eq!(at(2_000), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_threads() {
    let (env, recorder) = (Env::default(), Recorder::new(0, Duration::ZERO));
    let settings = QueueSettings {
        max_batch_size: 64,
        max_coalescing_delay: Duration::from_millis(1),
        max_entries: 1_000_000,
        ..QueueSettings::default()
    };
    let queue = open(&env, settings, &recorder);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let queue = queue.clone();
            std::thread::spawn(move || (0..5_000).for_each(|n| queue.put(format!("{thread} {n}").into_bytes())))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    env.tasks().drain(60 * SECOND).await;
    let mut entries = recorder.entries();
    let of_one: Vec<_> = entries.iter().filter(|entry| entry.starts_with("0 ")).cloned().collect();
    assert_eq!(of_one, (0..5_000).map(|n| format!("0 {n}")).collect::<Vec<_>>());
    entries.sort();
    entries.dedup();
    assert_eq!(entries.len(), 20_000);
}
