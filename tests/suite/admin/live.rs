//! The live view on a real socket.

use std::sync::Arc;
use std::time::Duration;

use forebay::admin::{AccessSettings, AdminServer, AllowedHosts, Gate};
use forebay::admin_token::AdminToken;
use forebay::live::view::VIEWERS_MAX;
use forebay::live::{Filter, LiveView, Mode, Sample};
use forebay::metrics::Metrics;
use forebay::object::Stream;
use forebay::sources::SourceId;
use forebay::time::UnixMillis;
use http::Request;
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::FakeProcess;
use crate::support::events::Events;
use crate::support::http::Http;
use crate::support::wait;

struct Watched {
    address: String,
    live: Arc<LiveView>,
    gate: Arc<Gate>,
    stop: CancellationToken,
}

async fn start(mode: Mode) -> Watched {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (live, stop) = (Arc::new(LiveView::new(mode, Duration::ZERO)), CancellationToken::new());
    let hosts = AllowedHosts::new(address, &[]);
    let gate = super::gate(AccessSettings::default(), &Metrics::new());
    let mut server =
        AdminServer::new(Arc::new(FakeProcess::default()), Metrics::new(), hosts, Arc::clone(&gate));
    server.live = Some(Arc::clone(&live));
    tokio::spawn(Arc::new(server).serve(Arc::new(listener), stop.clone()));
    Watched { address: address.to_string(), live, gate, stop }
}

fn arrive(live: &LiveView, source: &str, line: &str) {
    let source = SourceId::new(source).unwrap();
    let seen = live.source(&source).unwrap();
    let mut sample = Sample::new(source, UnixMillis(5));
    sample.push(Stream::Calls, line.as_bytes(), Some(line.as_bytes()));
    live.stored(1, 0);
    live.show(sample, &seen, false);
}

const LINE: &str = r#"{"type":"track","event":"Order Done","userId":"u1"}"#;

#[tokio::test]
async fn a_viewer_gets_what_arrives() {
    let watched = start(Mode::Full).await;
    arrive(&watched.live, "web", LINE);
    let mut events = Events::open(&watched.address, "/api/live").await;
    assert_eq!(
        events.next().await.unwrap(),
        ("hello".into(), serde_json::json!({"view": "full", "per_second": 100}))
    );
    let first = events.next_of("calls").await;
    assert_eq!((&first["recent"], &first["calls"][0]["name"]), (&true.into(), &"Order Done".into()));
    arrive(&watched.live, "ios", LINE);
    let next = events.next_of("calls").await;
    assert_eq!((&next["recent"], &next["calls"][0]["source"]), (&false.into(), &"ios".into()));
    assert_eq!(next["calls"][0]["line"]["userId"], "u1");
    assert_eq!(events.next_of("count").await, serde_json::json!({"stored": 1, "rejected": 0, "shown": 1}));
}

#[tokio::test]
async fn a_filter_is_applied_before_anything_is_sent() {
    let watched = start(Mode::Masked).await;
    let mut events = Events::open(&watched.address, "/api/live?source=web&type=track&text=order+d").await;
    arrive(&watched.live, "ios", LINE);
    arrive(&watched.live, "web", r#"{"type":"page","name":"Order Done"}"#);
    arrive(&watched.live, "web", r#"{"type":"track","event":"Other"}"#);
    arrive(&watched.live, "web", LINE);
    let calls = events.next_of("calls").await;
    assert_eq!(calls["calls"].as_array().unwrap().len(), 1, "{calls}");
    assert_eq!(calls["calls"][0]["line"]["userId"], "[hidden]");
}

#[tokio::test]
async fn a_view_that_is_off_or_taken_says_so() {
    let watched = start(Mode::Off).await;
    let url = format!("http://{}/api/live", watched.address);
    let get = async || {
        let request = http::Request::get(&url).body(http_body_util::Full::default()).unwrap();
        let answer = Http::new().send(request).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status.as_u16(), body["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(get().await, (404, "live_off".to_owned()));
    watched.live.set_mode(Mode::Masked);
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS_MAX {
        viewers.push(Events::open(&watched.address, "/api/live").await);
    }
    assert_eq!(get().await, (503, "too_many_viewers".to_owned()));
    viewers.pop();
    // The listener notices the closed connection, and the place is free again.
    let free = async || watched.live.watch(Filter::default()).map(drop);
    wait::until("a place", Duration::from_secs(20), free).await;
    Events::open(&watched.address, "/api/live").await;
}

#[tokio::test]
async fn the_listener_ends_the_stream_when_it_stops() {
    let watched = start(Mode::Full).await;
    let mut events = Events::open(&watched.address, "/api/live").await;
    assert_eq!(events.next().await.unwrap().0, "hello");
    watched.stop.cancel();
    while let Some((name, _)) = events.next().await {
        assert_eq!(name, "count");
    }
}

#[tokio::test]
async fn a_changed_token_ends_what_was_watched_with_the_old_one() {
    let watched = start(Mode::Full).await;
    let mut events = Events::open(&watched.address, "/api/live").await;
    assert_eq!(events.next().await.unwrap().0, "hello");
    watched.gate.set(AccessSettings { live_view: Mode::Full, ..AccessSettings::default() });
    arrive(&watched.live, "web", LINE);
    events.next_of("calls").await;
    let token = AdminToken::of("an-admin-token-of-a-test").ok();
    watched.gate.set(AccessSettings { token, ..AccessSettings::default() });
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn a_session_that_ends_ends_what_it_watched() {
    let watched = start(Mode::Full).await;
    let token = AdminToken::of("an-admin-token-of-a-test").ok();
    watched.gate.set(AccessSettings { token, live_view: Mode::Full, ..AccessSettings::default() });
    let (http, url) = (Http::new(), format!("http://{}/api/session", watched.address));
    let logged_in = http.post(&url, r#"{"token":"an-admin-token-of-a-test"}"#).await.unwrap();
    let cookie = logged_in.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let mut events = Events::open_with(&watched.address, "/api/live", &format!("Cookie: {cookie}\r\n")).await;
    arrive(&watched.live, "web", LINE);
    events.next_of("calls").await;
    events.next_of("count").await;
    let logout = Request::delete(&url).header("cookie", cookie).body(Full::default()).unwrap();
    assert_eq!(http.send(logout).await.unwrap().status, 200);
    while events.next().await.is_some() {}
}

/// A tick sent about 200 KB, so a viewer that read at once missed most calls of 30 KB.
#[tokio::test]
async fn large_calls_all_reach_a_viewer_that_reads() {
    let watched = start(Mode::Full).await;
    let mut events = Events::open(&watched.address, "/api/live").await;
    events.next_of("hello").await;
    // About as many as the view keeps: beyond that the oldest are missed.
    let line = large_line(28_000);
    for _ in 0..40 {
        arrive(&watched.live, "web", &line);
    }
    let mut shown = 0;
    while shown < 40 {
        let (name, data) = events.next().await.unwrap();
        assert_ne!(name, "missed", "{data}");
        shown += data["calls"].as_array().map_or(0, Vec::len);
    }
}

/// Its first message is made after they arrived: it had read nothing before.
#[tokio::test]
async fn a_new_viewer_learns_how_many_calls_it_missed_since_it_came() {
    let watched = start(Mode::Full).await;
    let mut events = Events::open(&watched.address, "/api/live").await;
    events.next_of("hello").await;
    for _ in 0..60 {
        arrive(&watched.live, "web", &large_line(30_000));
    }
    let (name, missed) = events.next().await.unwrap();
    assert_eq!(name, "missed", "{missed}");
    let (mut shown, missed) = (0, missed["calls"].as_u64().unwrap());
    while shown + missed < 60 {
        shown += events.next_of("calls").await["calls"].as_array().unwrap().len() as u64;
    }
    assert!(shown > 30 && missed > 10 && shown + missed == 60, "{shown} shown, {missed} missed");
}

fn large_line(len: usize) -> String {
    format!(r#"{{"type":"track","event":"A","properties":{{"a":"{}"}}}}"#, "x".repeat(len))
}

#[tokio::test]
async fn a_stream_ends_when_the_node_shows_more_or_less() {
    let watched = start(Mode::Masked).await;
    let mut events = Events::open(&watched.address, "/api/live").await;
    assert_eq!(events.next_of("hello").await["view"], "masked");
    watched.live.set_mode(Mode::Full);
    while events.next().await.is_some() {}
    let mut events = Events::open(&watched.address, "/api/live").await;
    assert_eq!(events.next_of("hello").await["view"], "full");
}
