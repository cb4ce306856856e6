//! Sessions from one request to the next.

use super::*;
use crate::testing::{self, Kept};

const SECRET: &str = "a-secret-for-tests-only";
const START: u64 = 1_700_000_000;

/// Cookies with id 00 01 02 ... made at `START` by another implementation, from the format of lua-resty-session.
const MADE_ELSEWHERE: &str = "AQAAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A8VNlAAAAAACEAABKS1KOSS-MhRFdvN5SA2lX\
    AAAA4J2vF8tfqnxDpZu8ojIbswJuGFPyE1-X03AJmOa708r8qYgMDbFf8ksetW0a9awzqmt2MYLzp8Uh1b5P\
    uffc3bm1W7xTSCsCmcsAJldQxbks4nc0yKZDBxWmbBneoL0Cicz1Ym-rTFbltK5Q9gyPXaMhD0";
const LASTING: &str = "AQAAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A8VNlAAAAAACEAACGezUSf_t6yuHGAr_LIME5\
    AAAAJn8FST7ChFQBbQFHIEujjQcoLoz-wza8REW8blrZFy1rIAJlSjqCIXwz-w72BEoToHFYenHDxTs_a0wG\
    9ehNL0bM2X9OBJcV8qZCX78_lO6IR7LgQNW0JQustsmlYk3--CrUG-jNqZ9rB-VJOhYY8M7Sq5";

fn options() -> Options {
    Options {
        audience: "default".to_owned(),
        storage: None,
        cookie_name: "session".to_owned(),
        attributes: Attributes {
            domain: None,
            path: "/".to_owned(),
            same_site: "Strict".to_owned(),
            secure: false,
            http_only: true,
        },
        idling_timeout: 900,
        rolling_timeout: 3600,
        absolute_timeout: 86_400,
        stale_ttl: 10,
        remember: None,
        store_metadata: false,
        hash_subject: false,
        bind: Vec::new(),
    }
}

fn sessions(options: Options) -> Arc<Sessions> {
    Arc::new(Sessions::new(SECRET, options))
}

fn remember() -> Option<Remember> {
    Some(Remember { cookie_name: "remember".to_owned(), rolling_timeout: 604_800, absolute_timeout: 2_592_000 })
}

/// A request with what a client keeps of cookies.
fn request(cookies: &[SetCookie]) -> Fields {
    let pairs: Vec<&str> = cookies.iter().filter_map(|cookie| cookie.line.split(';').next()).collect();
    Fields::from_iter([("Cookie", pairs.join("; ").as_str())])
}

/// A session with that content, and its cookies.
fn saved(sessions: &Arc<Sessions>, data: Value) -> (Session, Vec<SetCookie>) {
    let mut session = sessions.create(Origin::default(), START);
    session.set_data(data);
    session.set_subject(Some("ada".to_owned()));
    session.save().unwrap();
    let cookies = session.take_cookies();
    (session, cookies)
}

fn told(session: &Session, name: &str) -> Option<String> {
    session.property(name).map(|(_, value)| value)
}

#[tokio::test]
async fn a_cookie_of_kong_opens() {
    let fields = Fields::from_iter([("Cookie", format!("a=b; session={MADE_ELSEWHERE}; c=d").as_str())]);
    let session = sessions(options()).open(&fields, Origin::default(), START + 60).await;
    assert!(session.is_open());
    assert_eq!(session.data()[0], "11111111-1111-4111-8111-111111111111");
    assert_eq!(told(&session, "subject").as_deref(), Some("ada"));
    assert_eq!(told(&session, "timeout").as_deref(), Some("840"));
    assert_eq!(told(&session, "absolute-timeout").as_deref(), Some("86340"));
    assert_eq!(told(&session, "id").as_deref(), Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"));
    let other = Arc::new(Sessions::new("another-secret", options()));
    assert!(!other.open(&fields, Origin::default(), START).await.is_open());
}

#[tokio::test]
async fn a_lasting_cookie_opens_a_new_session() {
    let sessions = sessions(Options { remember: remember(), ..options() });
    let fields = Fields::from_iter([("Cookie", format!("remember={LASTING}").as_str())]);
    assert!(sessions.may_open(&fields));
    let mut session = sessions.open(&fields, Origin::default(), START + 100_000).await;
    assert!(session.is_open());
    let cookies = session.take_cookies();
    assert_eq!(cookies.iter().map(|cookie| cookie.name.as_str()).collect::<Vec<_>>(), ["session", "remember"]);
    assert!(cookies[1].line.ends_with("; HttpOnly; Expires=Tue, 21 Nov 2023 22:13:20 GMT; Max-Age=604800"));
    assert!(sessions.open(&request(&cookies), Origin::default(), START + 100_001).await.is_open());
    assert!(!sessions.open(&fields, Origin::default(), START + 604_801).await.is_open());
}

#[tokio::test]
async fn sessions_end_with_their_times() {
    let sessions = sessions(options());
    let (_, cookies) = saved(&sessions, json!(["c"]));
    let fields = request(&cookies);
    assert!(sessions.open(&fields, Origin::default(), START + 900).await.is_open());
    assert!(!sessions.open(&fields, Origin::default(), START + 901).await.is_open(), "it was not used");
    let mut used = sessions.open(&fields, Origin::default(), START + 800).await;
    used.refresh().unwrap();
    let touched = request(&used.take_cookies());
    let mut used = sessions.open(&touched, Origin::default(), START + 1700).await;
    assert!(used.is_open(), "it was used");
    assert_eq!(used.data(), &json!(["c"]));
    used.refresh().unwrap();
    let touched = request(&used.take_cookies());
    let mut used = sessions.open(&touched, Origin::default(), START + 2600).await;
    used.refresh().unwrap();
    let touched = request(&used.take_cookies());
    let mut old = sessions.open(&touched, Origin::default(), START + 3500).await;
    let id = told(&old, "id");
    old.refresh().unwrap();
    assert_ne!(told(&old, "id"), id, "most of its time was over");
    let renewed = request(&old.take_cookies());
    assert!(sessions.open(&renewed, Origin::default(), START + 4400).await.is_open());
    assert!(!sessions.open(&touched, Origin::default(), START + 3601).await.is_open());
}

#[tokio::test]
async fn large_content_is_compressed_and_split() {
    let sessions = sessions(options());
    let random: Vec<String> = (0..400).map(|_| fastrand::u64(..).to_string()).collect();
    let (_, cookies) = saved(&sessions, json!(random));
    assert!(cookies.len() > 1);
    let fields = request(&cookies);
    let mut session = sessions.open(&fields, Origin::default(), START).await;
    assert_eq!(session.data(), &json!(random));
    session.set_data(json!(["a".repeat(9000)]));
    session.save().unwrap();
    let fewer = session.take_cookies();
    let kept = fewer.iter().filter(|cookie| !cookie.line.contains("Max-Age=0"));
    assert_eq!(kept.map(|cookie| cookie.name.as_str()).collect::<Vec<_>>(), ["session"]);
    assert_eq!(fewer.len(), cookies.len(), "the others are ended");
}

#[tokio::test]
async fn audiences_share_a_cookie() {
    let first = sessions(options());
    let (_, cookies) = saved(&first, json!(["first"]));
    let second = sessions(Options { audience: "second".to_owned(), ..options() });
    let mut session = second.open(&request(&cookies), Origin::default(), START).await;
    assert!(!session.is_open());
    session.set_data(json!(["second"]));
    session.save().unwrap();
    let both = request(&session.take_cookies());
    assert_eq!(first.open(&both, Origin::default(), START).await.data(), &json!(["first"]));
    let mut session = second.open(&both, Origin::default(), START).await;
    assert_eq!(session.data(), &json!(["second"]));
    session.logout().unwrap();
    let left = request(&session.take_cookies());
    assert!(!second.open(&left, Origin::default(), START).await.is_open());
    let mut session = first.open(&left, Origin::default(), START).await;
    session.logout().unwrap();
    let ended = "session=; Path=/; SameSite=Strict; HttpOnly; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";
    assert_eq!(session.take_cookies()[0].line, ended);
}

#[tokio::test]
async fn content_may_lie_in_records() {
    let kept = Kept::default();
    let storage = Some(Storage::Records(testing::records(kept.clone())));
    let sessions = sessions(Options { storage, store_metadata: true, ..options() });
    let (mut session, cookies) = saved(&sessions, json!(["c"]));
    session.take_writes().unwrap().await;
    assert_eq!(kept.all("sessions").len(), 1);
    assert_eq!(kept.all("session_metadatas")[0]["subject"], "YWRh");
    let fields = request(&cookies);
    let mut session = sessions.open(&fields, Origin::default(), START).await;
    assert_eq!(session.data(), &json!(["c"]));
    session.save().unwrap();
    session.take_writes().unwrap().await;
    assert_eq!(kept.all("sessions")[0]["ttl"], 10, "the former one goes on for a moment");
    session.logout().unwrap();
    session.take_writes().unwrap().await;
    assert_eq!(kept.all("sessions").len(), 1);
    assert!(sessions.open(&fields, Origin::default(), START).await.is_open());
}

#[tokio::test]
async fn bound_sessions_are_of_no_use_elsewhere() {
    let from = |ip: &str, agent: &str| {
        let mut exchange = testing::exchange("GET", "/", &[("User-Agent", agent)]);
        exchange.client.ip = ip.parse().unwrap();
        Origin::of(&exchange)
    };
    let bind = |names: &[&str]| Options { bind: names.iter().map(|name| (*name).to_owned()).collect(), ..options() };
    for (names, other_address, other_agent) in
        [(&[][..], true, true), (&["ip"], false, true), (&["user-agent", "scheme"], true, false)]
    {
        let sessions = sessions(bind(names));
        let mut session = sessions.create(from("10.0.0.1", "a"), START);
        session.save().unwrap();
        let shown = request(&session.take_cookies());
        let opens = async |origin| sessions.open(&shown, origin, START).await.is_open();
        assert!(opens(from("10.0.0.1", "a")).await, "{names:?}");
        assert_eq!(opens(from("10.0.0.2", "a")).await, other_address, "{names:?}");
        assert_eq!(opens(from("10.0.0.1", "b")).await, other_agent, "{names:?}");
    }
}
