//! Encryption, keys, roles, policies and regions against servers that enforce them and, where no local server
//! does, against a server that answers as AWS documents. `docs/security-tests.md` lists what is shown where.

mod archive;
mod credentials;
mod keys;
mod minio;
mod ministack;
mod owner;
mod regions;
mod sessions;
mod told;

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

/// Three sources with one destination: the third refusal in a row raises an alarm, and each has one object to
/// put.
const TRIO: [&str; 3] = ["one", "two", "three"];

/// Many sources of one role: without pauses, each would request a refused role.
fn fleet() -> Vec<String> {
    (1..=24).map(|number| format!("source-{number:02}")).collect()
}

/// The most requests for a refused role in this time, for any backlog: the pauses between them double from 1
/// s to 60 s.
fn most_requests(time: Duration) -> usize {
    // One more may be in flight at the time of the check.
    let (mut requests, mut at, mut rest) = (1, 0, 1);
    while at <= time.as_secs() {
        requests += 1;
        at += rest;
        rest = (rest * 2).min(60);
    }
    requests
}

/// A folder with a configuration and a spool, and the environment of the program.
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

    /// Adds a variable to the environment of the program.
    fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Adds lines for all sources.
    fn all(&mut self, lines: &str) {
        self.settings.s3.push('\n');
        self.settings.s3.push_str(lines);
    }

    /// Sets the lines of one source, besides its key.
    fn source(&mut self, id: &str, lines: &str) {
        let source = self.settings.sources.iter_mut().find(|(known, _)| known == id).unwrap();
        source.1 = format!("write_keys = [\"{id}-key\"]\n{lines}");
    }

    async fn serve(&self) -> Forebay {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Forebay::serve(self.settings.write(), &environment).await
    }

    /// Writes the configuration and makes the program reload it at once.
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

/// The texts of the active alarms of a kind.
async fn alarms(forebay: &Forebay, kind: &str) -> Vec<String> {
    let status = status(forebay).await;
    let alarms = status["alarms"].as_array().unwrap().iter().filter(|alarm| alarm["kind"] == kind);
    alarms.map(|alarm| alarm["what"].as_str().unwrap().to_owned()).collect()
}

/// Waits for an alarm of this kind and text in all three places: the status, the gauge and the log.
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

/// Waits until there is no alarm of this kind, in the status and in the gauge.
async fn all_clear(forebay: &Forebay, kind: &str) {
    wait::until(&format!("no alarm of kind {kind}"), PATIENCE, async || {
        (alarms(forebay, kind).await.is_empty() && !gauge(forebay, kind).await).then_some(())
    })
    .await;
}

/// Whether the gauge reports an alarm of this kind.
async fn gauge(forebay: &Forebay, kind: &str) -> bool {
    let metrics = ask(forebay, "/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    text.lines().any(|line| line == format!("forebay_alarm{{kind=\"{kind}\"}} 1"))
}

/// The status of a source.
async fn source_status(forebay: &Forebay, id: &str) -> Value {
    let status = status(forebay).await;
    status["sources"].as_array().unwrap().iter().find(|source| source["id"] == id).unwrap().clone()
}

/// Waits until a double's bucket contains each acknowledged call of a source, and checks that each is there
/// once, and no other call.
async fn all_arrive(double: &AwsDouble, caller: &Caller, bucket: &str, source: &str) {
    let calls = caller.of(source);
    let found =
        wait::until(&format!("{} calls of {source} in {bucket}", calls.len()), PATIENCE, async || {
            let found = double.ids(bucket, source);
            (found.len() >= calls.len()).then_some(found)
        })
        .await;
    assert_eq!(found.len(), calls.len(), "more lines than calls of {source} in {bucket}");
    assert_eq!(BTreeSet::from_iter(found), calls, "unexpected calls of {source} in {bucket}");
}

/// The statements of a template with these names, filled in.
fn statements(file: &str, names: &[&str], places: &[(&str, &str)]) -> Vec<Value> {
    let policy = policy(file, places);
    let all = policy["Statement"].as_array().unwrap();
    let named = |name: &&str| all.iter().find(|statement| statement["Sid"] == **name).cloned();
    names.iter().map(|name| named(name).unwrap_or_else(|| panic!("{file} has no {name}"))).collect()
}

/// A template, filled in.
fn policy(file: &str, places: &[(&str, &str)]) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let filled = places.iter().fold(text, |text, (place, value)| text.replace(place, value));
    serde_json::from_str(&filled).unwrap()
}
