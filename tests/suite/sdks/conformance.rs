//! The checks that every SDK must pass, whatever its language.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use chrono::DateTime;
use http::{Method, StatusCode};
use serde_json::value::{RawValue, to_raw_value};
use tokio::process::{ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::fault_proxy::{Fault, FaultProxy, Seen};
use crate::support::forebay::{Flush, Forebay};
use crate::support::json::{Members, Numbers, contains, members};
use crate::support::tls_front::TlsFront;
use crate::support::wait;

/// Time for a driver to make its calls and for them to reach the bucket. An SDK may wait seconds before it
/// retries.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(90);
/// Time for a driver to end after everything was sent.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The calls that drivers make; the drivers read the same file.
const SCENARIOS: &str = include_str!("../../sdks/scenarios.json");

/// How an SDK is driven. A driver is called with the write key, the base URL and the scenario. It ends when
/// its calls are settled; if it cannot know that, it ends after its standard input is closed.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    pub(crate) program: PathBuf,
    /// The arguments before the write key: the script, and its name for the SDK.
    pub(crate) script: Vec<String>,
    pub(crate) flags: Vec<&'static str>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// How its language writes a big integer.
    pub(crate) numbers: Numbers,
    /// What the SDK makes of a call; `None` if it has no such call.
    pub(crate) as_sent: fn(Members) -> Option<Members>,
    /// Whether it supports only TLS.
    pub(crate) only_tls: bool,
}

/// The call unchanged.
#[expect(clippy::unnecessary_wraps, reason = "some SDKs lack a call")]
pub(crate) fn as_made(call: Members) -> Option<Members> {
    Some(call)
}

/// Moves the traits of an identify call to `context.traits`, where RudderStack's SDKs put them.
#[expect(clippy::unnecessary_wraps, reason = "some SDKs lack a call")]
pub(crate) fn traits_in_context(mut call: Members) -> Option<Members> {
    if call["type"].get() == r#""identify""#
        && let Some(traits) = call.remove("traits")
    {
        let mut context = call.get("context").map(|context| members(context.get())).unwrap_or_default();
        context.insert("traits".to_owned(), traits);
        call.insert("context".to_owned(), to_raw_value(&context).expect("JSON again"));
    }
    Some(call)
}

/// Removes the members that are null, which some SDKs omit.
pub(crate) fn without_nulls(object: &RawValue) -> Box<RawValue> {
    let mut members = members(object.get());
    members.retain(|_, value| value.get() != "null");
    to_raw_value(&members).expect("JSON again")
}

/// The fate of two calls, the first of which met a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Both are stored, each once.
    Once,
    /// The SDK gave up the first call.
    GivenUp,
    /// Anything else.
    Wrong,
}

/// What happens to the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// This fault, once.
    Fault(Fault),
    /// The program is killed, and restarted on its data.
    Restart,
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

/// The calls of a scenario, as in the file.
pub(crate) fn scenario(name: &str) -> Vec<Box<RawValue>> {
    let scenarios: Members = members(SCENARIOS);
    serde_json::from_str(scenarios[name].get()).expect("a list of calls")
}

/// A fresh program, and its data folder.
pub(crate) async fn fresh() -> (Forebay, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (Forebay::dev(folder.path(), Flush::SOON).await, folder)
}

impl Driver {
    /// Checks everything that a server-side SDK must do.
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

    /// Checks that each call of a scenario arrives once with equal ids and values, and that each of its
    /// members keeps the bytes that were sent.
    pub(crate) async fn delivers(&self, forebay: &Forebay, name: &str) {
        let proxy = FaultProxy::start(&forebay.collector, []).await;
        let calls = self.as_sent(scenario(name));
        let lines = self.run(forebay, &proxy.url, name, name, Pace::AtOnce, calls.len()).await;
        assert_calls(&calls, &lines, self.numbers);
        assert_as_on_the_wire(&proxy.tracking(), &lines);
    }

    /// The first request meets a fault that must be retried: nothing is lost or duplicated. Returns what the
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
            "the fault was not met: {tracking:?}"
        );
        proxy.seen()
    }

    /// A 400 is final: its call is not sent again, and the next one is delivered.
    pub(crate) async fn gives_up_after_400(&self, forebay: &Forebay) {
        let proxy = FaultProxy::start(&forebay.collector, [Fault::Status(StatusCode::BAD_REQUEST)]).await;
        let calls = scenario("two-calls");
        let lines = self.run(forebay, &proxy.url, "two-calls", "refused", Pace::OneByOne, 1).await;
        assert_calls(&calls[1..], &lines, self.numbers);
        let tracking = proxy.tracking();
        assert_eq!(tracking.len(), 2, "one request for each call, and no other: {tracking:?}");
    }

    /// The fate of two calls if the first meets trouble, within `patience`. Starts a program of its own.
    pub(crate) async fn fate(&self, trouble: Trouble, patience: Duration) -> Fate {
        let (forebay, folder) = fresh().await;
        let (forebay, proxy, running) = match trouble {
            Trouble::Fault(fault) => {
                let proxy = FaultProxy::start(&forebay.collector, [fault]).await;
                let running = self.start(&proxy.url, "two-calls", "fate", Pace::OneByOne).await;
                (forebay, proxy, running)
            }
            Trouble::Restart => {
                let proxy = FaultProxy::start_down(&forebay.collector).await;
                let running = self.start(&proxy.url, "two-calls", "fate", Pace::OneByOne).await;
                wait::until("a request", DELIVERY_TIMEOUT, async || proxy.tracking().first().map(drop)).await;
                forebay.kill().await;
                let forebay = Forebay::dev(folder.path(), Flush::SOON).await;
                proxy.pass_to(&forebay.collector);
                (forebay, proxy, running)
            }
        };
        let bucket = forebay.bucket();
        let all = async || {
            let done = running.ended.is_finished() || bucket.lines("fate").await.len() >= 2;
            done.then_some(())
        };
        // An abandoned call never comes, and not every SDK ends by itself.
        drop(timeout(patience, wait::until("both calls", patience * 2, all)).await);
        running.end().await;
        forebay.flush().await;
        let lines = bucket.lines("fate").await;
        let of = |event: &str| lines.iter().filter(|line| text_member(line, "event") == event).count();
        drop(proxy);
        match (of("First"), of("Second"), lines.len()) {
            (1, 1, 2) => Fate::Once,
            (0, 0..=1, 0..=1) => Fate::GivenUp,
            _ => Fate::Wrong,
        }
    }

    /// The calls as this SDK sends them.
    fn as_sent(&self, calls: Vec<Box<RawValue>>) -> Vec<Box<RawValue>> {
        let sent = calls.iter().filter_map(|call| (self.as_sent)(members(call.get())));
        sent.map(|call| to_raw_value(&call).expect("JSON again")).collect()
    }

    /// Runs the driver to its end, and returns all lines of the source after they are delivered.
    pub(crate) async fn run(
        &self,
        forebay: &Forebay,
        url: &str,
        scenario: &str,
        write_key: &str,
        pace: Pace,
        expected_lines: usize,
    ) -> Vec<String> {
        let running = self.start(url, scenario, write_key, pace).await;
        let bucket = forebay.bucket();
        let what = format!("{expected_lines} lines of {}", running.what);
        let all = wait::until(&what, 2 * DELIVERY_TIMEOUT, async || {
            let done = running.ended.is_finished() || bucket.lines(write_key).await.len() >= expected_lines;
            done.then_some(())
        });
        let in_time = timeout(DELIVERY_TIMEOUT, all).await.is_ok();
        let log = running.end().await;
        forebay.flush().await;
        let lines = bucket.lines(write_key).await;
        assert!(
            in_time,
            "no {what} within {DELIVERY_TIMEOUT:?}, only:\n{}\nThe driver's log:\n{log}",
            lines.join("\n")
        );
        lines
    }

    async fn start(&self, url: &str, scenario: &str, write_key: &str, pace: Pace) -> Running {
        let front = if self.only_tls { Some(TlsFront::start(url).await) } else { None };
        let url = front.as_ref().map_or(url, |front| &front.url);
        let mut command = Command::new(&self.program);
        command.args(&self.script).args([write_key, url, scenario]).args(&self.flags);
        if pace == Pace::OneByOne {
            command.arg("one-by-one");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs(front.iter().map(|front| ("FOREBAY_CA", &front.authority)));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let what = format!("{command:?}");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let stdin = child.stdin.take();
        Running { what, stdin, ended: tokio::spawn(child.wait_with_output()), _front: front }
    }
}

/// A running driver.
struct Running {
    what: String,
    stdin: Option<ChildStdin>,
    ended: JoinHandle<io::Result<Output>>,
    _front: Option<TlsFront>,
}

impl Running {
    /// Closes its standard input, waits until it ends successfully, and returns its log.
    async fn end(self) -> String {
        let Self { what, stdin, ended, _front } = self;
        drop(stdin);
        let output = timeout(EXIT_TIMEOUT, ended).await.unwrap_or_else(|_| panic!("{what} does not end"));
        let output = output.expect("a task that does not panic").expect("the driver's output");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {}\n{log}", output.status);
        log.into_owned()
    }
}

/// Whether a preflight came before the first tracking request.
pub(crate) fn preflighted(seen: &[Seen]) -> bool {
    let first =
        |method: Method| seen.iter().position(|seen| seen.method == method && !seen.path.ends_with("/m"));
    matches!((first(Method::OPTIONS), first(Method::POST)), (Some(preflight), Some(request)) if preflight < request)
}

/// Checks that each of `calls` is in exactly one of `lines`, and that no line is left over.
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
    assert_eq!(matched.len(), lines.len(), "one line matches two calls:\n{all}");
    let ids: BTreeSet<_> = lines.iter().map(|line| text_member(line, "messageId")).collect();
    assert_eq!(ids.len(), lines.len(), "ids are not unique:\n{all}");
}

/// The members that the collector replaces or omits.
pub(crate) const COLLECTORS_OWN: [&str; 5] =
    ["sentAt", "timestamp", "originalTimestamp", "writeKey", "receivedAt"];

/// Checks that each line has every member of its call, byte for byte as sent. A `context` may have more
/// members, such as the address.
fn assert_as_on_the_wire(requests: &[Seen], lines: &[String]) {
    let text = |request: &Seen| String::from_utf8(request.body.to_vec()).expect("text");
    let sent: BTreeMap<String, Members> = requests
        .iter()
        .flat_map(|request| calls_of_body(&text(request)))
        .map(|call| (serde_json::from_str(call["messageId"].get()).expect("an id"), call))
        .collect();
    for line in lines {
        let stored = members(line);
        let call = sent.get(&text_member(line, "messageId")).unwrap_or_else(|| panic!("not sent: {line}"));
        for (name, value) in call.iter().filter(|(name, _)| !COLLECTORS_OWN.contains(&name.as_str())) {
            let kept = stored.get(name).unwrap_or_else(|| panic!("{name} is missing: {line}"));
            if name == "context" {
                let kept = members(kept.get());
                for (name, value) in members(value.get()) {
                    assert_eq!(kept.get(&name).map(|kept| kept.get()), Some(value.get()), "context.{name}");
                }
            } else {
                assert_eq!(kept.get(), value.get(), "{name}");
            }
        }
    }
}

/// The calls of a request's body: the items of its batch, or the body itself.
pub(crate) fn calls_of_body(body: &str) -> Vec<Members> {
    let mut body = members(body);
    let Some(batch) = body.remove("batch") else { return vec![body] };
    let items: Vec<Box<RawValue>> = serde_json::from_str(batch.get()).expect("a list");
    items.iter().map(|item| members(item.get())).collect()
}

/// How a line differs from the call.
fn difference(call: &RawValue, line: &str, numbers: Numbers) -> Result<(), String> {
    let mut call = members(call.get());
    let timestamp = call.remove("timestamp");
    let call = to_raw_value(&call).expect("JSON again");
    let line_value = RawValue::from_string(line.to_owned()).map_err(|error| error.to_string())?;
    contains(&call, &line_value, numbers)?;
    let Some(timestamp) = timestamp else { return Ok(()) };
    // Each language formats the time in its own way; `timestamp` itself is the collector's.
    let instant = |text: &str| DateTime::parse_from_rfc3339(text).map_err(|error| format!("{text}: {error}"));
    let sent: String = serde_json::from_str(timestamp.get()).map_err(|error| error.to_string())?;
    let kept = text_member(line, "originalTimestamp");
    if instant(&sent)? == instant(&kept)? { Ok(()) } else { Err(format!("made at {sent}, kept as {kept}")) }
}

/// A string member of a line.
pub(crate) fn text_member(line: &str, name: &str) -> String {
    let members = members(line);
    let value = members.get(name).unwrap_or_else(|| panic!("no {name}: {line}"));
    serde_json::from_str(value.get())
        .unwrap_or_else(|error| panic!("{name} is not a string ({error}): {line}"))
}
