//! No file handles left: connections use all they may have, or the process may open no more files for a
//! while.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::support::{CREDENTIALS, Caller, PATIENCE, Rig, Settings, ask};
use crate::support::forebay::{self, Forebay, Starting};
use crate::support::http::is_accepted;
use crate::support::wait;

/// Clients that send part of a request without a key, and then stall: more than any limit here accepts.
const STALLED: usize = 600;
/// Requests of 400 KB besides these clients: enough for two segments.
const REQUESTS: usize = 50;
/// How often handles run out for a moment.
const FLICKERS: usize = 500;
/// The beginning of a request that never ends.
const STALL: &[u8] = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{";

fn small_segments(rig: &Rig) -> Settings {
    let mut settings = rig.settings(&["web"]);
    settings.spool.push_str("\nsegment_bytes = \"8 MiB\"");
    settings
}

/// Sends a request until it is accepted.
async fn accept(caller: &Caller, forebay: &Forebay, body: &str) {
    wait::until("a request to be accepted", PATIENCE, async || {
        let answer = caller.post(forebay, "web", body.to_owned()).await.ok()?;
        is_accepted(&answer).then_some(())
    })
    .await;
}

/// Sends this number of requests, each until it is accepted.
async fn send_patiently(caller: &mut Caller, forebay: &Forebay, requests: usize) {
    for _ in 0..requests {
        let (ids, body) = caller.request(20, 20_000);
        accept(caller, forebay, &body).await;
        caller.note("web", ids);
    }
}

/// Connects this number of stalled clients, and waits until each is held or refused.
async fn stall(forebay: &Forebay, count: usize) -> Vec<TcpStream> {
    let address = forebay.collector.strip_prefix("http://").unwrap();
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A refused one may already be closed.
        if stream.write_all(STALL).await.is_ok() {
            held.push(stream);
        }
    }
    held
}

/// The connections that the program has not closed.
async fn still_held(streams: Vec<TcpStream>) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for mut stream in streams {
        if timeout(Duration::from_millis(1), stream.read(&mut [0; 1])).await.is_err() {
            held.push(stream);
        }
    }
    held
}

async fn stalled_clients_take_all_connections(limit: u64) {
    let rig = Rig::start(&["lake"]).await;
    let settings = small_segments(&rig);
    let forebay = Starting::serve_with_files(settings.write(), &CREDENTIALS, limit).serve_ready().await;
    let mut caller = Caller::new();
    for _ in 0..2 {
        let (stalled, ()) =
            tokio::join!(stall(&forebay, STALLED), send_patiently(&mut caller, &forebay, REQUESTS));
        let held = still_held(stalled).await.len();
        assert!(held > 0 && held < STALLED, "{held} of {STALLED} are held with {limit} files");
        let ready = ask(&forebay, "/ready").await;
        assert!(ready.status.is_success(), "{limit} files: {ready:?}\n{}", forebay.log());
        // Calls acknowledged besides them are also delivered.
        caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    }
    send_patiently(&mut caller, &forebay, 1).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    let log = forebay.log();
    let told = format!("the process may open {limit} files; for 20000 connections, set LimitNOFILE to");
    assert!(log.contains("connections are limited to") && log.contains(&told), "{log}");
    assert!(!log.contains("Too many open files"), "handles were kept: {log}");
    assert!(forebay.terminate().await.success(), "{log}");
}

#[tokio::test]
async fn stalled_clients_leave_enough_handles_for_the_spool() {
    stalled_clients_take_all_connections(256).await;
}

#[tokio::test]
async fn stalled_clients_leave_enough_handles_for_any_limit() {
    let limit = rand::rng().random_range(257..500);
    eprintln!("{limit} files");
    stalled_clients_take_all_connections(limit).await;
}

/// Sets the file limit of a running program. Returns the previous one.
fn set_files(forebay: &Forebay, files: Rlimit) -> Rlimit {
    prlimit(Some(forebay.pid()), Resource::Nofile, files).unwrap_or_else(|error| panic!("{files:?}: {error}"))
}

#[tokio::test]
async fn the_soft_file_limit_is_raised() {
    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["web"]);
    let starting = Starting::serve_with_file_limits(settings.write(), &CREDENTIALS, 64, 2_000);
    let forebay = starting.serve_ready().await;
    let in_force = set_files(&forebay, Rlimit { current: Some(2_000), maximum: Some(2_000) });
    assert_eq!(in_force.current, Some(2_000));
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn running_out_of_handles_for_a_while_stops_and_loses_nothing() {
    let rig = Rig::start(&["lake"]).await;
    let forebay = small_segments(&rig).serve().await;
    let mut caller = Caller::new();
    send_patiently(&mut caller, &forebay, 10).await;
    let maximum = getrlimit(Resource::Nofile).maximum;
    for files in [0, 16, 32, 48] {
        let before = set_files(&forebay, Rlimit { current: Some(files), maximum });
        // Until the open segment is full, a client with a connection is served.
        let mut refused = Vec::new();
        for _ in 0..REQUESTS {
            let (ids, body) = caller.request(20, 20_000);
            match caller.post(&forebay, "web", body.clone()).await {
                Ok(answer) if is_accepted(&answer) => caller.note("web", ids),
                _ => refused.push((ids, body)),
            }
        }
        set_files(&forebay, before);
        let again = refused.len();
        for (ids, body) in refused {
            accept(&caller, &forebay, &body).await;
            caller.note("web", ids);
        }
        let ready = ask(&forebay, "/ready").await;
        assert!(ready.status.is_success(), "{files} files, {again} sent again: {ready:?}\n{}", forebay.log());
        caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    }
    // For moments only, so that every step meets one.
    let before = getrlimit(Resource::Nofile);
    let flicker = async {
        let mut random = StdRng::seed_from_u64(rand::rng().random());
        for _ in 0..FLICKERS {
            set_files(&forebay, Rlimit { current: Some(0), maximum });
            sleep(Duration::from_micros(random.random_range(0..8_000))).await;
            set_files(&forebay, before);
            sleep(Duration::from_micros(random.random_range(0..8_000))).await;
        }
    };
    tokio::join!(flicker, send_patiently(&mut caller, &forebay, 2 * REQUESTS));
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    let log = forebay.log();
    assert!(log.contains("Too many open files"), "handles must run out: {log}");
    assert!(forebay.terminate().await.success(), "{log}");
}

#[tokio::test]
async fn too_low_a_file_limit_is_reported_at_start() {
    let rig = Rig::start(&["lake"]).await;
    let mut command = forebay::with_files(100);
    command.arg("serve").arg("--config").arg(rig.settings(&["web"]).write());
    let output = forebay::finished(&mut command).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("the process may open only 100 files (RLIMIT_NOFILE) but needs at least 256"),
        "{error}"
    );
}

/// Three functions that take connections and never answer, each with more invocations at once than there are
/// handles.
#[tokio::test]
async fn functions_that_hang_leave_handles_for_calls() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = small_segments(&rig);
    // They are never accepted: the kernel completes the handshake, and nobody answers.
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hung.local_addr().unwrap();
    let connections = tokio::spawn({
        hung.set_nonblocking(true).unwrap();
        let hung = tokio::net::TcpListener::from_std(hung).unwrap();
        async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = hung.accept().await {
                held.push(stream);
            }
        }
    });
    for name in ["one", "two", "three"] {
        let (_, lines) = settings.sources.last_mut().unwrap();
        lines.push_str(&format!(
            "\n[[destination]]\nname = \"{name}\"\ntype = \"http\"\nsources = [\"*\"]\nurl = \"http://{address}/{name}\"\n\
             concurrency = 64\ntimeout = \"60 s\"\n"
        ));
    }
    let forebay = Starting::serve_with_files(settings.write(), &CREDENTIALS, 256).serve_ready().await;
    let mut caller = Caller::new();
    // Enough calls for all invocations that may run at once.
    for _ in 0..20 {
        let answer = caller.try_send(&forebay, "web", 20, 100).await;
        assert!(is_accepted(&answer), "{answer:?}");
    }
    // Clients that take every connection they can, besides requests that must all be answered.
    let stalled = stall(&forebay, STALLED).await;
    send_patiently(&mut caller, &forebay, REQUESTS).await;
    drop(stalled);
    for _ in 0..REQUESTS {
        let answer = timeout(Duration::from_secs(20), caller.try_send(&forebay, "web", 1, 100)).await;
        assert!(answer.as_ref().is_ok_and(is_accepted), "{answer:?}");
    }
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    let ready = ask(&forebay, "/ready").await;
    assert!(ready.status.is_success(), "{ready:?}");
    let log = forebay.log();
    assert!(log.contains("each function is invoked fewer times at once"), "{log}");
    assert!(!log.contains("Too many open files"), "handles ran out: {log}");
    connections.abort();
    assert!(forebay.terminate().await.success(), "{log}");
}
