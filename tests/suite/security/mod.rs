//! Encryption, keys, roles, policies and regions against servers that enforce them, and, where none here does, against
//! a server that answers as AWS documents: `docs/security-tests.md` says which is shown where.

mod credentials;
mod keys;
mod minio;
mod ministack;
mod owner;
mod regions;
mod sessions;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::serve::support::{Caller, PATIENCE, Settings, ask, status};
use crate::support::aws_double::AwsDouble;
use crate::support::forebay::Forebay;
use crate::support::wait;

/// Three sources that go to one destination: the third refusal in a row is an alarm, and each has one object that is
/// tried.
const TRIO: [&str; 3] = ["one", "two", "three"];

/// Sources of one role: without a rest between its requests a refused role would be asked for by each of them.
fn fleet() -> Vec<String> {
    (1..=24).map(|number| format!("source-{number:02}")).collect()
}

/// The most requests for a refused role in this time, however much waits: the rests between them double from 1 s to 60 s.
fn most_requests(time: Duration) -> usize {
    // One more than fits may be under way when it is looked.
    let (mut requests, mut at, mut rest) = (1, 0, 1);
    while at <= time.as_secs() {
        requests += 1;
        at += rest;
        rest = (rest * 2).min(60);
    }
    requests
}

/// A folder for a configuration and a spool, and what the program takes its credentials from.
struct Site {
    folder: TempDir,
    settings: Settings,
    environment: Vec<(String, String)>,
}

impl Site {
    /// Sources that deliver every second to the bucket `lake` of a store.
    fn new(store: &str, sources: &[&str], credentials: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::new(folder.path(), store, sources);
        let mut site = Self { folder, settings, environment: Vec::new() };
        credentials.iter().for_each(|(name, value)| site.environment(name, value));
        site
    }

    /// One more variable of the environment that the program runs in.
    fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// More lines for all sources.
    fn all(&mut self, lines: &str) {
        self.settings.s3.push('\n');
        self.settings.s3.push_str(lines);
    }

    /// What stands for one source, beside its key.
    fn source(&mut self, id: &str, lines: &str) {
        let source = self.settings.sources.iter_mut().find(|(known, _)| known == id).unwrap();
        source.1 = format!("write_keys = [\"{id}-key\"]\n{lines}");
    }

    async fn serve(&self) -> Forebay {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Forebay::serve(self.settings.write(), &environment).await
    }

    /// Writes the configuration and tells the program at once.
    async fn reload(&self, forebay: &Forebay) {
        let said = || forebay.log().matches("configuration reloaded").count();
        let before = said();
        self.settings.write();
        forebay.signal(Signal::HUP);
        wait::until("the reload", PATIENCE, async || (said() > before).then_some(())).await;
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The texts of the standing alarms of a kind.
async fn alarms(forebay: &Forebay, kind: &str) -> Vec<String> {
    let status = status(forebay).await;
    let alarms = status["alarms"].as_array().unwrap().iter().filter(|alarm| alarm["kind"] == kind);
    alarms.map(|alarm| alarm["what"].as_str().unwrap().to_owned()).collect()
}

/// Waits until an alarm of a kind with this text stands, in all three places: the status, the gauge and the log.
async fn alarmed(forebay: &Forebay, kind: &str, text: &str) -> String {
    let what = format!("an alarm of kind {kind} with {text:?}");
    let alarm = wait::until(&what, PATIENCE, async || {
        alarms(forebay, kind).await.into_iter().find(|alarm| alarm.contains(text))
    })
    .await;
    assert!(gauge(forebay, kind).await, "the gauge of {alarm}");
    assert!(forebay.log().contains("alarm: "), "the log of {alarm}");
    alarm
}

/// Waits until no alarm of a kind stands, in the status and in the gauge.
async fn all_clear(forebay: &Forebay, kind: &str) {
    wait::until(&format!("no alarm of kind {kind}"), PATIENCE, async || {
        (alarms(forebay, kind).await.is_empty() && !gauge(forebay, kind).await).then_some(())
    })
    .await;
}

/// Whether the gauge of a kind of alarm says that one stands.
async fn gauge(forebay: &Forebay, kind: &str) -> bool {
    let metrics = ask(forebay, "/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    text.lines().any(|line| line == format!("forebay_alarm{{kind=\"{kind}\"}} 1"))
}

/// What the status says of a source.
async fn source_status(forebay: &Forebay, id: &str) -> Value {
    let status = status(forebay).await;
    status["sources"].as_array().unwrap().iter().find(|source| source["id"] == id).unwrap().clone()
}

/// Waits until a double's bucket holds each acknowledged call of a source, and sees that it is there once and nothing
/// else.
async fn all_arrive(double: &AwsDouble, caller: &Caller, bucket: &str, source: &str) {
    let calls = caller.of(source);
    let found =
        wait::until(&format!("{} calls of {source} in {bucket}", calls.len()), PATIENCE, async || {
            let found = double.ids(bucket, source);
            (found.len() >= calls.len()).then_some(found)
        })
        .await;
    assert_eq!(found.len(), calls.len(), "more lines than calls of {source} in {bucket}");
    assert_eq!(BTreeSet::from_iter(found), calls, "other calls of {source} in {bucket}");
}

/// The statements of a template with these names, its placeholders filled in.
fn statements(file: &str, names: &[&str], places: &[(&str, &str)]) -> Vec<Value> {
    let policy = policy(file, places);
    let all = policy["Statement"].as_array().unwrap();
    let named = |name: &&str| all.iter().find(|statement| statement["Sid"] == **name).cloned();
    names.iter().map(|name| named(name).unwrap_or_else(|| panic!("{file} has no {name}"))).collect()
}

/// A template, its placeholders filled in.
fn policy(file: &str, places: &[(&str, &str)]) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let filled = places.iter().fold(text, |text, (place, value)| text.replace(place, value));
    serde_json::from_str(&filled).unwrap()
}
