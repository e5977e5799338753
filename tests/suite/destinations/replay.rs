//! `forebay destinations replay`: the real program sends dead letters, calls of the archive, and calls of a
//! file again.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::serve::support::{CREDENTIALS, Caller, PATIENCE, Rig, Settings, ask};
use crate::support::forebay::{Forebay, command, finished};
use crate::support::http::{Http, is_accepted};
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};
use crate::support::wait;

/// What the function does with a call, by its messageId.
#[derive(Clone, Debug, Default)]
struct Behaviour {
    refuses: BTreeSet<String>,
    refuses_all: bool,
    forbids_all: bool,
    hangs_on: BTreeSet<String>,
}

/// A function behind a web address.
struct Function {
    server: ScriptedHttp,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Function {
    async fn start() -> Self {
        let behaviour = Arc::<Mutex<Behaviour>>::default();
        let asked = Arc::clone(&behaviour);
        let server = ScriptedHttp::elsewhere(move |request| {
            let (behaviour, id) = (asked.lock().unwrap(), id(request));
            match () {
                () if behaviour.hangs_on.contains(&id) => Reply::Hang,
                () if behaviour.forbids_all => Reply::status(403),
                () if behaviour.refuses_all || behaviour.refuses.contains(&id) => Reply::status(400),
                () => Reply::status(200),
            }
        })
        .await;
        Self { server, behaviour }
    }

    fn behaves(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// The ids that it got after the first `skipped` requests, sorted.
    fn got(&self, skipped: usize) -> Vec<String> {
        let mut ids: Vec<String> = self.server.requests().iter().skip(skipped).map(id).collect();
        ids.sort();
        ids
    }

    fn count(&self) -> usize {
        self.server.requests().len()
    }
}

fn id(request: &Request) -> String {
    let call: Value = serde_json::from_slice(&request.body).unwrap();
    call["messageId"].as_str().unwrap().to_owned()
}

fn ids(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// A collector with a destination for its calls.
struct Setup {
    rig: Rig,
    settings: Settings,
    function: Function,
}

impl Setup {
    async fn start() -> Self {
        let (rig, function) = (Rig::start(&["lake"]).await, Function::start().await);
        let mut settings = rig.settings(&["web", "ios"]);
        let destination = format!(
            "\n[[destination]]\nname = \"crm\"\ntype = \"http\"\nurl = \"{}\"\ntimeout = \"1 s\"\n",
            function.server.url()
        );
        settings.sources.last_mut().unwrap().1.push_str(&destination);
        Self { rig, settings, function }
    }

    /// With dead letters of these calls of the source `web`.
    async fn with_dead_letters(ids: &[&str]) -> Self {
        let setup = Self::start().await;
        setup.function.behaves(Behaviour { refuses_all: true, ..Behaviour::default() });
        let forebay = setup.settings.serve().await;
        setup.sends(&forebay, "web", ids).await;
        setup.stored(&forebay).await;
        setup
    }

    /// With 100 objects of one dead letter each: more than are sent at a time.
    async fn with_many_objects() -> Self {
        let setup = Self::with_dead_letters(&["s1"]).await;
        let bucket = setup.rig.bucket("lake");
        let letters = bucket.objects("segment-logs/_dlq/crm/web/").await;
        let (stem, _) = letters[0].key.rsplit_once('-').unwrap();
        for position in 1_000..1_099 {
            let key = format!("{stem}-{position:020}.gz");
            let put = bucket.client.put_object().bucket("lake").key(key).body(letters[0].body.clone().into());
            put.send().await.unwrap();
        }
        setup
    }

    async fn sends(&self, forebay: &Forebay, source: &str, ids: &[&str]) {
        let call = |id: &&str| json!({ "type": "track", "event": "e", "userId": "u", "messageId": id });
        let body = json!({ "batch": ids.iter().map(call).collect::<Vec<_>>() }).to_string();
        let answer = Caller::new().post(forebay, source, body).await.unwrap();
        assert!(is_accepted(&answer), "{answer:?}");
    }

    /// Waits until everything was sent, and is in the bucket.
    async fn stored(&self, forebay: &Forebay) {
        wait::until("every call to be finished", PATIENCE, async || {
            let answer = ask(forebay, "/api/destinations/crm").await;
            let one: Value = serde_json::from_slice(&answer.body).unwrap();
            one["functions"].as_array().unwrap().iter().all(|one| one["behind"] == 0).then_some(())
        })
        .await;
        forebay.flush().await;
    }

    /// Waits until the node shows that so many dead letters were stored and sent again.
    async fn shows_letters(&self, forebay: &Forebay, (stored, sent): (u64, u64)) {
        wait::until("the node to have read the notes", PATIENCE, async || {
            let answer = ask(forebay, "/api/destinations/crm").await;
            let one: Value = serde_json::from_slice(&answer.body).unwrap();
            let shown = (&one["dead_stored"], &one["dead_sent_again"], &one["dead_unknown"]);
            (shown == (&json!(stored), &json!(sent), &Value::Null)).then_some(())
        })
        .await;
    }

    /// What `destinations status` prints.
    async fn status(&self, forebay: &Forebay) -> String {
        let mut command = command();
        command.args(["destinations", "status", "crm", "--admin", &forebay.console]);
        String::from_utf8(finished(&mut command).await.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = command();
        command.args(["destinations", "replay", "crm", "--config"]).arg(self.settings.write());
        command.args(arguments).envs(CREDENTIALS).current_dir(self.rig.folder.path());
        command
    }

    /// Runs a replay: its exit code, and what it printed as JSON.
    async fn replay(&self, arguments: &[&str]) -> (i32, Value) {
        let output = finished(self.command(arguments).arg("--json")).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
        (output.status.code().unwrap(), json)
    }

    /// Begins a replay.
    fn begun(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().unwrap()
    }

    /// As text: its exit code, and what it printed.
    async fn text(&self, arguments: &[&str]) -> (i32, String) {
        let output = finished(&mut self.command(arguments)).await;
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), text)
    }
}

/// Ends a replay with SIGTERM: its exit code, and what it said.
async fn stopped(replay: Child) -> (Option<i32>, String) {
    let pid = Pid::from_raw(i32::try_from(replay.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let output = tokio::time::timeout(PATIENCE, replay.wait_with_output()).await.unwrap().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A replay with a configuration that excludes a call noted it as replayed, and none sent it any more.
#[tokio::test]
async fn what_a_replay_leaves_out_is_sent_by_the_next_one() {
    let mut setup = Setup::start().await;
    let all = setup.settings.sources.last().unwrap().1.clone();
    let with = |setting: &str| format!("{all}{setting}\n");
    setup.settings.sources.last_mut().unwrap().1 = with("respect_integrations = false");
    setup.function.behaves(Behaviour { refuses_all: true, ..Behaviour::default() });
    let forebay = setup.settings.serve().await;
    setup.sends(&forebay, "web", &["taken"]).await;
    let out = json!({ "type": "track", "event": "e", "userId": "u", "messageId": "out", "integrations": { "All": false } });
    let answer = Caller::new().post(&forebay, "web", json!({ "batch": [out] }).to_string()).await.unwrap();
    assert!(is_accepted(&answer), "{answer:?}");
    setup.stored(&forebay).await;

    setup.function.behaves(Behaviour::default());
    let from = setup.function.count();
    setup.settings.sources.last_mut().unwrap().1 = all.clone();
    let (code, first) = setup.replay(&["--from", "DLQ"]).await;
    assert_eq!((code, &first["delivered"], &first["notTaken"]), (0, &json!(1), &json!(1)), "{first}");
    setup.settings.sources.last_mut().unwrap().1 = with("respect_integrations = false");
    let (code, second) = setup.replay(&["--from", "DLQ"]).await;
    assert_eq!((code, &second["delivered"]), (0, &json!(1)), "{second}");
    assert_eq!(setup.function.got(from), ["out", "taken"]);
}

#[tokio::test]
async fn dead_letters_are_sent_again_until_each_is_taken_once() {
    let setup = Setup::start().await;
    let function = &setup.function;
    function.behaves(Behaviour { refuses_all: true, ..Behaviour::default() });
    let forebay = setup.settings.serve().await;
    setup.sends(&forebay, "web", &["w1", "w2", "w3"]).await;
    setup.sends(&forebay, "ios", &["i1", "i2"]).await;
    let objects =
        json!({ "collection": "rooms", "objects": [{ "id": "7", "messageId": "o1", "properties": {} }] });
    let url = format!("{}/v1/set?writeKey=web-key", forebay.collector);
    let answer = Http::new().post(&url, objects.to_string()).await.unwrap();
    assert!(answer.status.is_success(), "{answer:?}");
    setup.stored(&forebay).await;

    let before = function.count();
    let (code, counted) = setup.replay(&["--from", "DLQ", "--dry-run"]).await;
    assert_eq!((code, &counted["calls"], function.count()), (0, &json!(6), before), "{counted}");

    setup.shows_letters(&forebay, (6, 0)).await;

    // Some are still refused.
    function.behaves(Behaviour { refuses: ids(&["w2", "i1"]), ..Behaviour::default() });
    let (code, sent) = setup.replay(&["--from", "dlq"]).await;
    assert_eq!((code, &sent["delivered"], &sent["failed"][0]["count"]), (1, &json!(4), &json!(2)), "{sent}");
    assert_eq!(function.got(before), ["i1", "i2", "o1", "w1", "w2", "w3"]);
    let archived = setup.rig.bucket("lake").lines("web").await;
    let sent: BTreeSet<String> = function.server.requests()[before..]
        .iter()
        .map(|r| String::from_utf8(r.body.clone()).unwrap())
        .collect();
    assert!(archived.iter().all(|line| sent.contains(line)), "calls are sent as they are in the archive");

    setup.shows_letters(&forebay, (6, 4)).await;
    let status = setup.status(&forebay).await;
    assert!(status.contains("; 6 in all, 4 sent again, 2 left\n  send again "), "{status}");

    // The next replay sends only those, and the one after it nothing.
    function.behaves(Behaviour { refuses: ids(&["i1"]), ..Behaviour::default() });
    let before = function.count();
    let (code, text) = setup.text(&["--from", "DLQ"]).await;
    assert_eq!((code, function.got(before)), (1, vec!["i1".to_owned(), "w2".to_owned()]), "{text}");
    assert!(text.contains("crm: 1 call delivered\n  failed: 1 call with Bad Request"), "{text}");
    assert!(text.contains("stay dead letters"), "{text}");
    function.behaves(Behaviour::default());
    let before = function.count();
    let (_, other) = setup.replay(&["--from", "DLQ", "--class", "timeout"]).await;
    assert_eq!((&other["calls"], function.count()), (&json!(0), before), "{other}");
    let (code, sent) = setup.replay(&["--from", "DLQ", "--class", "bad-request"]).await;
    assert_eq!((code, &sent["delivered"]), (0, &json!(1)), "{sent}");
    let (code, text) = setup.text(&["--from", "DLQ"]).await;
    assert_eq!((code, text.as_str()), (0, "crm: nothing to send\n"));
    setup.shows_letters(&forebay, (6, 6)).await;
    let status = setup.status(&forebay).await;
    assert!(status.contains("; 6 in all, all sent again\n"), "{status}");
    assert!(!status.contains("destinations replay"), "it still asks for what is done: {status}");
    let (code, sent) = setup.replay(&["--from", "DLQ", "--again", "--source", "ios"]).await;
    assert_eq!(
        (code, &sent["delivered"], function.got(before + 1)),
        (0, &json!(2), vec!["i1".into(), "i2".into()])
    );

    // New dead letters are sent, and old ones are not.
    function.behaves(Behaviour { refuses_all: true, ..Behaviour::default() });
    setup.sends(&forebay, "web", &["w4"]).await;
    setup.stored(&forebay).await;
    function.behaves(Behaviour::default());
    let before = function.count();
    let (code, _) = setup.replay(&["--from", "DLQ"]).await;
    assert_eq!((code, function.got(before)), (0, vec!["w4".to_owned()]));

    let url = setup.rig.url().to_owned();
    let mut verify = command();
    let verify =
        verify.args(["verify", "lake", "--deep", "--path-style", "--endpoint-url", &url]).envs(CREDENTIALS);
    let output = finished(verify).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn calls_of_the_archive_are_sent_again_and_those_that_fail_are_kept_in_a_file() {
    let setup = Setup::start().await;
    let function = &setup.function;
    let forebay = setup.settings.serve().await;
    setup.sends(&forebay, "web", &["a1", "a2"]).await;
    setup.stored(&forebay).await;
    let lines = setup.rig.bucket("lake").lines("web").await;
    let of_second = serde_json::from_str::<Value>(&lines[1]).unwrap()["receivedAt"].clone();
    // The clock of received times has milliseconds.
    tokio::time::sleep(Duration::from_millis(2)).await;
    setup.sends(&forebay, "web", &["b1", "b2"]).await;
    setup.sends(&forebay, "ios", &["c1"]).await;
    setup.stored(&forebay).await;
    let lines = setup.rig.bucket("lake").lines("web").await;
    let received = |id: &str| {
        let line = lines.iter().find(|line| line.contains(&format!("\"{id}\""))).unwrap();
        serde_json::from_str::<Value>(line).unwrap()["receivedAt"].as_str().unwrap().to_owned()
    };
    assert_eq!(of_second.as_str(), Some(received("a2").as_str()));

    let before = function.count();
    let (code, sent) = setup.replay(&["--from", &received("b1")]).await;
    assert_eq!((code, &sent["delivered"]), (0, &json!(3)), "{sent}");
    assert_eq!(function.got(before), ["b1", "b2", "c1"]);
    let before = function.count();
    let (code, _) = setup.replay(&["--from", "2020-01-01", "--to", &received("b1")]).await;
    assert_eq!((code, function.got(before)), (0, vec!["a1".to_owned(), "a2".to_owned()]));

    function.behaves(Behaviour { refuses: ids(&["a2", "c1"]), ..Behaviour::default() });
    let (code, text) = setup.text(&["--from", "2020-01-01", "--failed", "later.ndjson"]).await;
    assert!(code == 1 && text.contains("--from later.ndjson"), "{text}");
    let kept = std::fs::read_to_string(setup.rig.folder.path().join("later.ndjson")).unwrap();
    assert!(kept.lines().count() == 2 && kept.contains("\"class\":\"bad-request\""), "{kept}");
    let (code, text) = setup.text(&["--from", "2020-01-01", "--failed", "later.ndjson"]).await;
    assert!(code == 2 && text.contains("exists already"), "{text}");
    function.behaves(Behaviour::default());
    let before = function.count();
    let (code, sent) = setup.replay(&["--from", "later.ndjson"]).await;
    assert_eq!(
        (code, &sent["delivered"], function.got(before)),
        (0, &json!(2), vec!["a2".into(), "c1".into()])
    );

    // Lines of the archive can be in a file, too.
    std::fs::write(setup.rig.folder.path().join("day.ndjson"), format!("{}\nno\n", lines[0])).unwrap();
    let before = function.count();
    let (code, text) = setup.text(&["--from", "day.ndjson"]).await;
    assert!(code == 1 && text.contains("line 2 is no call"), "{text}");
    assert_eq!(function.got(before).len(), 1);

    for (arguments, said) in [
        (["--from", "DLQ", "--to", "2026-01-01"].as_slice(), "--to goes with --from TIME"),
        (&["--from", "2026-01-01", "--class", "timeout"], "--class is the cause"),
        (&["--from", "2026-01-02", "--to", "2026-01-01"], "later than"),
        (&["--from", "yesterday"], "expected DLQ, a time"),
        (&["--from", "DLQ", "--source", "none"], "takes no calls of a source none"),
    ] {
        let (code, text) = setup.text(arguments).await;
        assert!(code == 2 && text.contains(said), "{arguments:?}: {text}");
    }
}

#[tokio::test]
async fn many_small_objects_are_counted_and_sent() {
    let setup = Setup::with_many_objects().await;
    let function = &setup.function;
    let (code, counted) = setup.replay(&["--from", "DLQ", "--dry-run"]).await;
    assert_eq!((code, &counted["calls"], &counted["objects"]), (0, &json!(100), &json!(100)), "{counted}");
    let (code, refused) = setup.replay(&["--from", "DLQ"]).await;
    assert_eq!((code, &refused["failed"][0]["count"]), (1, &json!(100)), "{refused}");
    function.behaves(Behaviour::default());
    let (code, sent) = setup.replay(&["--from", "DLQ"]).await;
    assert_eq!((code, &sent["delivered"]), (0, &json!(100)), "{sent}");
    assert_eq!(setup.text(&["--from", "DLQ"]).await, (0, "crm: nothing to send\n".to_owned()));
}

#[tokio::test]
async fn a_replay_that_is_stopped_notes_what_was_delivered() {
    let setup = Setup::with_dead_letters(&["d1", "d2", "d3", "d4"]).await;
    let function = &setup.function;

    let before = function.count();
    function.behaves(Behaviour { hangs_on: ids(&["d3"]), ..Behaviour::default() });
    let replay = setup.begun(&["--from", "DLQ"]);
    wait::until("all to be sent", PATIENCE, async || (function.got(before).len() >= 4).then_some(())).await;
    let (code, text) = stopped(replay).await;
    assert_eq!(code, Some(130), "{text}");
    assert!(text.contains("run it again: what was delivered is noted"), "{text}");

    // The note has how far everything is: calls after the one that hangs are sent again.
    let letters = setup.rig.bucket("lake").objects("segment-logs/_dlq/crm/web/").await;
    let text: String = letters.iter().map(|object| object.text()).collect();
    let in_order = text.lines().map(|line| {
        let letter: Value = serde_json::from_str(line).unwrap();
        letter["call"]["messageId"].as_str().unwrap().to_owned()
    });
    let mut rest: Vec<String> = in_order.skip_while(|id| id != "d3").collect();
    rest.sort();
    function.behaves(Behaviour::default());
    let before = function.count();
    let (code, sent) = setup.replay(&["--from", "DLQ"]).await;
    assert_eq!((code, function.got(before)), (0, rest), "{sent}");
}

#[tokio::test]
async fn a_replay_to_a_function_that_is_forbidden_can_be_stopped() {
    let setup = Setup::with_many_objects().await;
    setup.function.behaves(Behaviour { forbids_all: true, ..Behaviour::default() });
    let before = setup.rig.requests().len();
    let replay = setup.begun(&["--from", "DLQ"]);
    wait::until("as many objects to be read as are sent at a time", PATIENCE, async || {
        let requests = setup.rig.requests();
        let objects = requests.iter().skip(before).filter(|request| {
            request.method == "GET" && request.target.contains("_dlq/crm/") && request.target.contains(".gz")
        });
        (objects.count() >= 64).then_some(())
    })
    .await;
    let (code, text) = stopped(replay).await;
    assert_eq!(code, Some(130), "{text}");
    setup.function.behaves(Behaviour::default());
    let (code, sent) = setup.replay(&["--from", "DLQ"]).await;
    assert_eq!((code, &sent["delivered"]), (0, &json!(100)), "{sent}");
}
