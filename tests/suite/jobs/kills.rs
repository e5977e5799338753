//! Jobs whose process is killed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::support::{PATIENCE, Stand, manifest, script};
use crate::support::tools::on_path;
use crate::support::wait;

const TASKS: usize = 400;
const KILLS: u64 = 3;
const CONCURRENCY: usize = 4;
/// Tasks that end between two syncs on a fast machine: 20 ms each, so many at once, in 200 ms and some more.
const UNSYNCED: usize = CONCURRENCY * 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_killed_goes_on_and_its_report_has_each_task_once() {
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let keys: Vec<String> = (0..TASKS).map(|n| format!("k{n}")).collect();
    stand.put("m.csv", manifest(&keys)).await;
    let handler = format!("cmd:python3 {} slow begun", script("handlers.py"));
    let concurrency = CONCURRENCY.to_string();
    let place = ["--manifest", "s3://forebay/m.csv", "--report", "s3://forebay/r"];
    let mut running = stand
        .started(&[&["--handler", handler.as_str(), "--concurrency", &concurrency][..], &place].concat())
        .await;
    let id = running.id.clone();
    for kill in 1..=KILLS {
        let wanted = kill * 80;
        stand.until(&id, "some results", |job| job["succeeded"].as_u64() >= Some(wanted)).await;
        running.child.kill().await.unwrap();
        let seen = stand.described(&id).await;
        assert_eq!((&seen["status"], &seen["is_held"]), (&"Active".into(), &false.into()), "{seen}");
        // What the manifest has become meanwhile does not matter.
        stand.put("m.csv", "forebay,another\n").await;
        running = stand.started(&["--job", &id]).await;
        let second = stand.run(&["run", "--job", &id]).await.code(1);
        second.says(&format!("is held by process {}", running.child.id().unwrap()));
    }
    running.ended().await.code(0);
    let job = stand.described(&id).await;
    assert_eq!((&job["status"], &job["succeeded"]), (&"Complete".into(), &TASKS.into()), "{job}");
    let rows = stand.report(&id).await;
    assert!(keys.iter().all(|key| rows.contains_key(key)) && rows.len() == TASKS, "{} rows", rows.len());
    let mut begun = BTreeMap::<String, usize>::new();
    for key in fs::read_to_string(stand.path("begun")).unwrap().lines() {
        *begun.entry(key.to_owned()).or_default() += 1;
    }
    assert_eq!(begun.len(), TASKS);
    let repeated: usize = begun.values().map(|times| times - 1).sum();
    let most = usize::try_from(KILLS).unwrap() * (CONCURRENCY + UNSYNCED);
    assert!(repeated <= most, "{repeated} invocations were repeated, at most {most} may be");
}

/// How the heads of puts of a report begin.
const PUT_OF_REPORT: &[u8] = b"PUT /forebay/r/";
/// The objects of a report whose tasks all succeeded: a CSV file, `manifest.json` and its MD5.
const REPORT_OBJECTS: usize = 3;

/// A store behind a gate that holds a put of a report. When dropped, it accepts no more connections.
struct Gate {
    url: String,
    state: Arc<Mutex<GateState>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct GateState {
    /// So many more puts pass; `None`: all.
    passing: Option<usize>,
    /// A put is held: its connection gets no answer any more.
    is_held: bool,
}

impl Gate {
    async fn before(store: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<GateState>>::default();
        let of_all = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, store, Arc::clone(&of_all)));
            }
        });
        Self { url, state, accepting }
    }

    /// From now on so many puts pass, and the next one is held.
    fn hold_after(&self, passing: Option<usize>) {
        *self.state.lock().unwrap() = GateState { passing, is_held: false };
    }

    fn is_held(&self) -> bool {
        self.state.lock().unwrap().is_held
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Passes a connection on. A client waits for each answer, so a request begins with what is read.
async fn pass_on(mut client: TcpStream, store: SocketAddr, state: Arc<Mutex<GateState>>) {
    let Ok(mut store) = TcpStream::connect(store).await else { return };
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let is_held = asked[..count].starts_with(PUT_OF_REPORT) && {
                    let mut state = state.lock().unwrap();
                    state.passing = match state.passing {
                        Some(0) => {
                            state.is_held = true;
                            Some(0)
                        }
                        passing => passing.map(|left| left - 1),
                    };
                    state.is_held
                };
                if is_held {
                    // Until the client is killed.
                    while let Ok(1..) = client.read(&mut asked).await {}
                    return;
                }
                if store.write_all(&asked[..count]).await.is_err() {
                    return;
                }
            }
            read = store.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_killed_while_it_stores_its_report_has_one_with_each_task_once() {
    const FEW: usize = 60;
    if on_path("python3").is_none() {
        return;
    }
    let stand = Stand::start().await;
    let gate = Gate::before(stand.node.s3.strip_prefix("http://").unwrap().parse().unwrap()).await;
    let path = stand.file("m.csv", manifest((0..FEW).map(|n| format!("k{n}"))));
    let handler = format!("cmd:python3 {} slow begun", script("handlers.py"));
    let run = ["--manifest", &path, "--handler", &handler, "--report", "s3://forebay/r"];
    gate.hold_after(Some(0));
    let mut running = stand.started(&[&run[..], &["--endpoint-url", &gate.url]].concat()).await;
    let id = running.id.clone();
    // It is killed at its first object, and then with one more of them stored each time.
    for stored in 0..REPORT_OBJECTS {
        wait::until("a put of the report", PATIENCE, async || gate.is_held().then_some(())).await;
        running.child.kill().await.unwrap();
        let seen = stand.described(&id).await;
        let standing = (&seen["status"], &seen["is_held"], &seen["succeeded"]);
        assert_eq!(standing, (&"Completing".into(), &false.into(), &FEW.into()), "{seen}");
        assert_eq!(stand.node.bucket().keys("r/").await.len(), stored);
        gate.hold_after((stored + 1 < REPORT_OBJECTS).then_some(stored + 1));
        running = stand.started(&["--job", &id]).await;
    }
    running.ended().await.code(0);
    assert_eq!(stand.described(&id).await["status"], "Complete");
    assert_eq!(stand.node.bucket().keys("r/").await.len(), REPORT_OBJECTS, "one report");
    assert_eq!(stand.report(&id).await.len(), FEW);
    // The report is all that was left to do.
    assert_eq!(fs::read_to_string(stand.path("begun")).unwrap().lines().count(), FEW);
}
