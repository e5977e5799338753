//! What is asked of each SDK, whatever its language.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chrono::DateTime;
use http::{Method, StatusCode};
use serde_json::value::{RawValue, to_raw_value};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::fault_proxy::{Fault, FaultProxy, Seen};
use crate::support::forebay::{Flush, Forebay};
use crate::support::json::{Members, Numbers, contains, members};
use crate::support::wait;

/// Time for a driver to make its calls and for them to be in the bucket. An SDK may wait seconds before it tries again.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(90);
/// Time for a driver to end once nothing is left to send.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The calls that drivers make: the same file is read by them.
const SCENARIOS: &str = include_str!("../../sdks/scenarios.json");

/// How an SDK is driven. A driver is called with the write key, the base URL and the scenario; it ends when its calls are
/// settled, and not before its standard input is closed where it cannot know that.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    pub(crate) program: PathBuf,
    /// The script and the SDK's name in it.
    pub(crate) sdk: [String; 2],
    pub(crate) flags: Vec<&'static str>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// What its language makes of a big integer.
    pub(crate) numbers: Numbers,
    /// Where it puts the traits of an identify call.
    pub(crate) traits: Traits,
}

/// Where an SDK puts the traits of an identify call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traits {
    /// In `traits`, as the tracking API says.
    TopLevel,
    /// In `context.traits`.
    Context,
}

/// How quickly a driver makes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    AtOnce,
    OneByOne,
}

/// A driver script under `tests/sdks`.
pub(crate) fn script(relative: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdks").join(relative).display().to_string()
}

/// The calls of a scenario, as the file has them.
pub(crate) fn scenario(name: &str) -> Vec<Box<RawValue>> {
    let scenarios: Members = members(SCENARIOS);
    serde_json::from_str(scenarios[name].get()).expect("a list of calls")
}

/// A fresh program, and the folder that its data is in.
pub(crate) async fn fresh() -> (Forebay, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (Forebay::dev(folder.path(), Flush::SOON).await, folder)
}

impl Driver {
    /// Everything that holds for a server-side SDK.
    pub(crate) async fn conforms(&self) {
        let (forebay, _folder) = fresh().await;
        tokio::join!(
            self.delivers(&forebay, "all-calls"),
            self.delivers(&forebay, "audience"),
            self.survives(&forebay, "server-error", Fault::Status(StatusCode::INTERNAL_SERVER_ERROR)),
            self.survives(&forebay, "too-many", Fault::TooManyRequests),
            self.gives_up_after_400(&forebay),
        );
    }

    /// Each call of a scenario arrives once, ids and values equal.
    pub(crate) async fn delivers(&self, forebay: &Forebay, name: &str) {
        let calls = self.as_sent(scenario(name));
        let lines = self.run(forebay, &forebay.collector, name, name, Pace::AtOnce, calls.len()).await;
        assert_calls(&calls, &lines, self.numbers);
    }

    /// The first request meets a fault that is to be retried: nothing is lost, nothing doubled. Returns what the
    /// SDK sent.
    pub(crate) async fn survives(&self, forebay: &Forebay, write_key: &str, fault: Fault) -> Vec<Seen> {
        let proxy = FaultProxy::start(&forebay.collector, [fault]).await;
        let calls = scenario("two-calls");
        let lines = self.run(forebay, &proxy.url, "two-calls", write_key, Pace::OneByOne, calls.len()).await;
        assert_calls(&calls, &lines, self.numbers);
        let tracking = proxy.tracking();
        assert_eq!(
            tracking.first().and_then(|seen| seen.fault),
            Some(fault),
            "the script was not met: {tracking:?}"
        );
        proxy.seen()
    }

    /// A 400 is final: the call that met it is not sent again, and the next one is delivered.
    pub(crate) async fn gives_up_after_400(&self, forebay: &Forebay) {
        let proxy = FaultProxy::start(&forebay.collector, [Fault::Status(StatusCode::BAD_REQUEST)]).await;
        let calls = scenario("two-calls");
        let lines = self.run(forebay, &proxy.url, "two-calls", "refused", Pace::OneByOne, 1).await;
        assert_calls(&calls[1..], &lines, self.numbers);
        let tracking = proxy.tracking();
        assert_eq!(tracking.len(), 2, "one request for each call, and no other: {tracking:?}");
    }

    /// The calls as this SDK puts them.
    fn as_sent(&self, calls: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
        if self.traits == Traits::TopLevel {
            return calls;
        }
        let moved = |call: Box<RawValue>| {
            let mut call = members(call.get());
            if call["type"].get() == r#""identify""#
                && let Some(traits) = call.remove("traits")
            {
                let mut context =
                    call.get("context").map(|context| members(context.get())).unwrap_or_default();
                context.insert("traits".to_owned(), traits);
                call.insert("context".to_owned(), to_raw_value(&context).expect("JSON again"));
            }
            to_raw_value(&call).expect("JSON again")
        };
        calls.into_iter().map(moved).collect()
    }

    /// Runs the driver to its end, and returns all lines of the source once they are delivered.
    async fn run(
        &self,
        forebay: &Forebay,
        url: &str,
        scenario: &str,
        write_key: &str,
        pace: Pace,
        expected_lines: usize,
    ) -> Vec<String> {
        let mut command = Command::new(&self.program);
        command.args(&self.sdk).args([write_key, url, scenario]).args(&self.flags);
        if pace == Pace::OneByOne {
            command.arg("one-by-one");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = child.stdin.take();
        let ended = tokio::spawn(child.wait_with_output());

        let bucket = forebay.bucket();
        let what = format!("{expected_lines} lines of {command:?}");
        wait::until(&what, DELIVERY_TIMEOUT, async || {
            let done = ended.is_finished() || bucket.lines(write_key).await.len() >= expected_lines;
            done.then_some(())
        })
        .await;
        drop(stdin);
        let output =
            timeout(EXIT_TIMEOUT, ended).await.unwrap_or_else(|_| panic!("{command:?} does not end"));
        let output = output.expect("a task that does not panic").expect("the driver's output");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {}\n{log}", output.status);
        forebay.flush().await;
        bucket.lines(write_key).await
    }
}

/// Whether a preflight came before the first tracking request.
pub(crate) fn preflighted(seen: &[Seen]) -> bool {
    let first =
        |method: Method| seen.iter().position(|seen| seen.method == method && !seen.path.ends_with("/m"));
    matches!((first(Method::OPTIONS), first(Method::POST)), (Some(preflight), Some(request)) if preflight < request)
}

/// Each of `calls` stands in exactly one of `lines`, and no line is left over.
pub(crate) fn assert_calls(calls: &[Box<RawValue>], lines: &[String], numbers: Numbers) {
    let all = lines.join("\n");
    assert_eq!(lines.len(), calls.len(), "as many lines as calls:\n{all}");
    let mut matched = BTreeSet::new();
    for call in calls {
        let differences: Vec<_> = lines.iter().map(|line| difference(call, line, numbers)).collect();
        let equal: Vec<_> = (0..lines.len()).filter(|index| differences[*index].is_ok()).collect();
        assert_eq!(equal.len(), 1, "one line for {call}; line by line: {differences:#?}\n{all}");
        matched.extend(equal);
    }
    assert_eq!(matched.len(), lines.len(), "a line stands for two calls:\n{all}");
    let ids: BTreeSet<_> = lines.iter().map(|line| text_member(line, "messageId")).collect();
    assert_eq!(ids.len(), lines.len(), "each call has an id of its own:\n{all}");
}

/// Where a line is not the call, where it is not.
fn difference(call: &RawValue, line: &str, numbers: Numbers) -> Result<(), String> {
    let mut call = members(call.get());
    let timestamp = call.remove("timestamp");
    let call = to_raw_value(&call).expect("JSON again");
    let line_value = RawValue::from_string(line.to_owned()).map_err(|error| error.to_string())?;
    contains(&call, &line_value, numbers)?;
    let Some(timestamp) = timestamp else { return Ok(()) };
    // Each language writes the instant its own way; `timestamp` itself is the collector's.
    let instant = |text: &str| DateTime::parse_from_rfc3339(text).map_err(|error| format!("{text}: {error}"));
    let sent: String = serde_json::from_str(timestamp.get()).map_err(|error| error.to_string())?;
    let kept = text_member(line, "originalTimestamp");
    if instant(&sent)? == instant(&kept)? { Ok(()) } else { Err(format!("made at {sent}, kept as {kept}")) }
}

/// A member of a line that is a string.
pub(crate) fn text_member(line: &str, name: &str) -> String {
    let members = members(line);
    let value = members.get(name).unwrap_or_else(|| panic!("no {name}: {line}"));
    serde_json::from_str(value.get()).unwrap_or_else(|error| panic!("{name} is no string ({error}): {line}"))
}
