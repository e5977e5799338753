//! Functions that fail in every way at random, and a process that is killed: each call is invoked at least
//! once or becomes a dead letter, calls of one user stay in order where that is asked for, and the archive
//! has each call once.

mod callers;
mod functions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay::destinations::class::Class;
use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::callers::{Call, Callers, journal};
use self::functions::{Functions, Report, is_poisoned};
use crate::durability::{checker, setting, source_tables};
use crate::serve::support::ask;
use crate::support::bucket::Bucket;
use crate::support::forebay::{Flush, Forebay, Starting, command, finished};
use crate::support::wait;

/// Calls, kills and calls per second, unless the environment says otherwise.
const CALLS: u64 = 30_000;
const KILLS: u64 = 5;
const RATE: u64 = 1_500;
/// How long the last calls may take once nothing fails any more. A function that was closed is tried again
/// after 30 s.
const DRAINS: Duration = Duration::from_secs(600);
/// How long a sign of progress may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A call: its client, and its number there.
type CallId = (usize, usize);

/// The last two have most of the calls, and none for functions that are invoked for each: a debug build takes
/// milliseconds for an invocation.
const SOURCES: [&str; 6] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];
const TYPES: [&str; 10] =
    ["track", "track", "track", "track", "track", "identify", "page", "screen", "group", "alias"];
/// Functions by type.
const CRM: &str = "crm";
const CRM_TRACK: &str = "arn:aws:lambda:eu-west-1:000000000000:function:crm-track:live";
const CRM_IDENTIFY: &str = "arn:aws:lambda:eu-west-1:000000000000:function:crm-identify";
const CRM_OTHERS: &str = "arn:aws:lambda:eu-west-1:000000000000:function:crm-others";
/// Functions that get the calls of a user in order.
const ORDERS: &str = "orders";
const ORDERS_TRACK: &str = "arn:aws:lambda:eu-west-1:000000000000:function:orders-track:7";
const ORDERS_OTHERS: &str = "arn:aws:lambda:eu-west-1:000000000000:function:orders-others";
/// A function that gets batches, and whose calls become too old.
const BULK: &str = "bulk";
const BULK_ALL: &str = "arn:aws:lambda:us-east-1:000000000000:function:bulk";
const FUNCTIONS: [&str; 6] = [CRM_TRACK, CRM_IDENTIFY, CRM_OTHERS, ORDERS_TRACK, ORDERS_OTHERS, BULK_ALL];
const DESTINATIONS: [&str; 3] = [CRM, ORDERS, BULK];
/// A function that refuses the credentials of one source until functions no longer fail.
const REFUSED: (&str, &str) = (BULK_ALL, "epsilon");
/// How often another selection is written, which sends every call where it went before.
const SELECTED_ANEW: Duration = Duration::from_secs(1);

/// The function of a destination that gets a call.
fn function_for(destination: &str, source: &str, kind: &str) -> Option<&'static str> {
    match (destination, source, kind) {
        (CRM, "alpha" | "beta", "track") => Some(CRM_TRACK),
        (CRM, "alpha" | "beta", "identify") => Some(CRM_IDENTIFY),
        (CRM, "alpha" | "beta", _) => Some(CRM_OTHERS),
        (ORDERS, "gamma" | "delta", "track") => Some(ORDERS_TRACK),
        (ORDERS, "gamma" | "delta", _) => Some(ORDERS_OTHERS),
        (BULK, _, _) => Some(BULK_ALL),
        _ => None,
    }
}

fn is_batched(function: &str) -> bool {
    function == BULK_ALL
}

fn id_text((client, number): CallId) -> String {
    format!("chaos-{client}-{number}")
}

fn parse_id(text: &str) -> Option<CallId> {
    let (client, number) = text.strip_prefix("chaos-")?.split_once('-')?;
    Some((client.parse().ok()?, number.parse().ok()?))
}

/// Writes a configuration whose functions are at `url`. Its selections have another order or form each time,
/// and the same meaning.
#[expect(clippy::disallowed_methods, reason = "nothing here outlives a crash of the machine")]
fn config(folder: &Path, store: &str, url: &str, random: &mut StdRng) -> PathBuf {
    let sources = source_tables(&SOURCES);
    let mut order = |mut names: [&str; 2]| {
        names.shuffle(random);
        format!("{names:?}")
    };
    let (of_crm, of_orders) = (order(["alpha", "beta"]), order(["gamma", "delta"]));
    let mut named = |function: &str| -> String {
        let kinds = ["page", "screen", "group", "alias"].into_iter().filter(|_| random.random_bool(0.5));
        kinds.map(|kind| format!(", {kind} = \"{function}\"")).collect()
    };
    let (more_of_crm, more_of_orders) = (named(CRM_OTHERS), named(ORDERS_OTHERS));
    // A test's folder may be on any file system, because no machine fails here.
    let text = format!(
        r#"
        [collector]
        listen = "127.0.0.1:0"
        drain_delay = "0 s"

        [admin]
        listen = "127.0.0.1:0"

        [spool]
        dir = "{spool}"
        unsafe_filesystem = true

        [s3]
        bucket = "forebay"
        endpoint_url = "{store}"
        path_style = true

        [flush]
        max_age = "1 s"

        {sources}

        [[destination]]
        name = "{CRM}"
        type = "lambda"
        endpoint_url = "{url}"
        sources = {of_crm}
        functions = {{ track = "{CRM_TRACK}", identify = "{CRM_IDENTIFY}"{more_of_crm} }}
        function = "{CRM_OTHERS}"
        timeout = "1 s"
        concurrency = 16
        max_age = "1 h"
        retry_execution_errors = 1

        [[destination]]
        name = "{ORDERS}"
        type = "lambda"
        endpoint_url = "{url}"
        sources = {of_orders}
        functions = {{ track = "{ORDERS_TRACK}"{more_of_orders} }}
        function = "{ORDERS_OTHERS}"
        timeout = "1 s"
        concurrency = 32
        max_age = "1 h"
        order_by = "userId"

        [[destination]]
        name = "{BULK}"
        type = "lambda"
        endpoint_url = "{url}"
        function = "{BULK_ALL}"
        mode = "batch"
        batch_max_calls = 50
        timeout = "1 s"
        concurrency = 16
        max_age = "20 s"
        "#,
        spool = folder.join("spool").display(),
    );
    let file = folder.join("forebay.toml");
    // A start must not read half of it.
    fs::write(folder.join("forebay.toml.new"), text).unwrap();
    fs::rename(folder.join("forebay.toml.new"), &file).unwrap();
    file
}

/// Writes other selections, again and again.
async fn select_anew(folder: PathBuf, store: String, url: String, mut random: StdRng) {
    loop {
        tokio::time::sleep(SELECTED_ANEW).await;
        config(&folder, &store, &url, &mut random);
    }
}

/// One of the two lists of what destinations keep is lost, cut or flipped: the other is enough. Returns
/// whether both were sound.
fn damage_a_list(spool: &Path, random: &mut StdRng) -> bool {
    let lists = ["destinations.json", "destinations.copy.json"].map(|name| spool.join(name));
    let [first, second] = [&lists[0], &lists[1]].map(|list| fs::read(list).unwrap_or_default());
    // A kill between their writes leaves two that differ.
    if first != second || first.is_empty() {
        return false;
    }
    let (list, at) = (&lists[random.random_range(0..2)], random.random_range(0..first.len()));
    let mut bytes = first;
    match random.random_range(0..3) {
        0 => bytes[at] ^= 1,
        1 => bytes.truncate(at),
        _ => {
            fs::remove_file(list).unwrap();
            return true;
        }
    }
    fs::write(list, bytes).unwrap();
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_by_functions_that_fail_and_by_kills() {
    let seed = setting("FOREBAY_CHAOS_SEED").unwrap_or_else(rand::random);
    let calls = setting("FOREBAY_CHAOS_CALLS").unwrap_or(CALLS);
    let kills = setting("FOREBAY_CHAOS_KILLS").unwrap_or(KILLS);
    let rate = setting("FOREBAY_CHAOS_RATE").unwrap_or(RATE);
    eprintln!("{calls} calls, {kills} kills with FOREBAY_CHAOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let store = Forebay::dev(&folder.path().join("store"), Flush::SOON).await;
    let functions = Functions::start(random.random()).await;
    let file = config(folder.path(), &store.s3, &functions.url, &mut random);
    let selecting = select_anew(
        folder.path().to_owned(),
        store.s3.clone(),
        functions.url.clone(),
        StdRng::seed_from_u64(random.random()),
    );
    let selecting = AbortOnDropHandle::new(tokio::spawn(selecting));
    let mut lists_damaged = 0;
    let starting = || {
        let credentials =
            [("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];
        Starting::serve(&file, &credentials)
    };

    let mut forebay = starting().serve_ready().await;
    let (address, collector) = watch::channel(forebay.collector.clone());
    let callers = Callers::start(
        &collector,
        usize::try_from(calls).unwrap(),
        usize::try_from(rate).unwrap(),
        &mut random,
    );
    let mut at: Vec<u64> = (0..kills).map(|_| random.random_range(0..calls * 19 / 20)).collect();
    at.sort_unstable();
    for at in at {
        functions.close_one(&FUNCTIONS, Duration::from_millis(random.random_range(0..8_000)));
        let what = format!("{at} acknowledged calls\n{}", forebay.log());
        wait::until(&what, PATIENCE.max(Duration::from_secs(calls / 50)), async || {
            (callers.acknowledged() as u64 >= at).then_some(())
        })
        .await;
        moment(&mut random, 0..300).await;
        forebay.kill().await;
        // One in eight is killed again, during its recovery.
        if random.random_ratio(1, 8) {
            let again = starting();
            moment(&mut random, 0..150).await;
            again.kill().await;
        }
        lists_damaged += usize::from(damage_a_list(&folder.path().join("spool"), &mut random));
        forebay = starting().serve_ready().await;
        address.send_replace(forebay.collector.clone());
    }
    functions.close_one(&FUNCTIONS, Duration::from_millis(random.random_range(0..8_000)));
    let calls = callers.finished().await;
    functions.calm();
    drained(&forebay).await;
    drop(selecting);
    eprintln!("{lists_damaged} lists damaged");

    let report = functions.report();
    let bucket = store.bucket();
    let letters = dead_letters(&bucket).await;
    eprintln!("{} invocations, of which failed {:?}", report.invocations, report.counts);
    let mut dead: BTreeMap<&str, u64> = BTreeMap::new();
    letters.iter().for_each(|letter| *dead.entry(&letter.class).or_default() += 1);
    eprintln!("{} dead letters: {dead:?}", letters.len());
    assert!(lists_damaged > 0 || kills == 0, "no list was damaged");
    let mut violations = violations(&calls, &report, &letters);
    violations.extend(not_isolated(&calls, &report, &letters));
    let shown: Vec<&String> = violations.iter().take(50).collect();
    assert!(violations.is_empty(), "{} violations: {shown:#?}\n{}", violations.len(), forebay.log());
    let all: Vec<Call> = calls.concat();
    ledger_balances(&forebay, &all, &letters).await;
    let counted = checker::check_with(&journal(&all), &bucket, "segment-logs/", &[]).await;
    bucket_is_sound(&store).await;
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
    eprintln!("{}", counted.unwrap_or_default());
}

/// Waits for a random time, to vary the moment of the kill.
async fn moment(random: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(milliseconds))).await;
}

/// Waits until every function has finished everything, and everything is in the bucket.
async fn drained(forebay: &Forebay) {
    let is_finished = async || {
        let answer = ask(forebay, "/api/destinations").await;
        let all: Value = serde_json::from_slice(&answer.body).unwrap();
        let all = all["destinations"].as_array().unwrap();
        assert_eq!(all.len(), DESTINATIONS.len(), "{all:#?}");
        all.iter().flat_map(|one| one["functions"].as_array().unwrap()).all(|one| one["behind"] == 0)
    };
    wait::until("every function to finish", DRAINS, async || is_finished().await.then_some(())).await;
    forebay.flush().await;
    assert!(is_finished().await, "dead letters go to no function");
}

/// A dead letter in the bucket.
#[derive(Debug)]
struct Letter {
    destination: String,
    function: String,
    source: String,
    class: String,
    cause: String,
    call: Value,
}

async fn dead_letters(bucket: &Bucket) -> Vec<Letter> {
    let mut letters = Vec::new();
    for object in bucket.objects("segment-logs/_dlq/").await {
        let mut folders = object.key.split('/').skip(2).map(str::to_owned);
        let (destination, source) = (folders.next().unwrap(), folders.next().unwrap());
        for line in object.text().lines() {
            let mut line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["destination"], *destination, "{}", object.key);
            assert!(line["attempts"].is_u64(), "{line}");
            letters.push(Letter {
                destination: destination.clone(),
                source: source.clone(),
                function: line["function"].as_str().unwrap().to_owned(),
                class: line["class"].as_str().unwrap().to_owned(),
                cause: line["cause"].as_str().unwrap().to_owned(),
                call: line["call"].take(),
            });
        }
    }
    letters
}

/// What does not hold of calls, by client and in their order.
fn violations(clients: &[Vec<Call>], report: &Report, letters: &[Letter]) -> Vec<String> {
    let mut violations = report.wrong.clone();
    let known: HashMap<CallId, &Call> = clients.iter().flatten().map(|call| (call.id, call)).collect();
    let mut dead: BTreeSet<(&str, CallId)> = BTreeSet::new();
    for letter in letters {
        let id = letter.call["messageId"].as_str().and_then(parse_id);
        let Some(call) = id.and_then(|id| known.get(&id)) else {
            violations.push(format!("of no call: {letter:?}"));
            continue;
        };
        let own = function_for(&letter.destination, call.source, call.kind);
        if call.is_excluded || own != Some(&letter.function) || letter.source != call.source {
            violations.push(format!("of another function or source: {letter:?}"));
        }
        if !dead.insert((&letter.function, call.id)) {
            violations.push(format!("twice: {letter:?}"));
        }
        if !is_caused(letter, call.id, report) {
            violations.push(format!("without such a failure: {letter:?}"));
        }
    }
    for call in clients.iter().flatten().filter(|call| !call.is_excluded) {
        for destination in DESTINATIONS {
            let Some(function) = function_for(destination, call.source, call.kind) else { continue };
            let seen = report.seen.get(function).and_then(|seen| seen.get(&call.id));
            let is_taken = seen.is_some_and(|seen| seen.first_taken.is_some());
            if !is_taken && !dead.contains(&(function, call.id)) {
                violations.push(format!("{function}: {call:?} is neither taken nor dead: {seen:?}"));
            }
        }
    }
    for function in [ORDERS_TRACK, ORDERS_OTHERS] {
        violations.extend(out_of_order(function, clients, report, &dead));
    }
    violations
}

/// One refused source and one call in many that no function takes stop nothing else.
fn not_isolated(clients: &[Vec<Call>], report: &Report, letters: &[Letter]) -> Vec<String> {
    let mut violations = Vec::new();
    let is_taken = |function: &str, call: &Call| {
        let seen = report.seen.get(function).and_then(|seen| seen.get(&call.id));
        seen.is_some_and(|seen| seen.first_taken.is_some())
    };
    let calls = || clients.iter().flatten().filter(|call| !call.is_excluded);
    let poisoned = calls().filter(|call| is_poisoned(call.id));
    for (call, function) in poisoned.flat_map(|call| FUNCTIONS.map(|function| (call, function))) {
        if is_taken(function, call) {
            violations.push(format!("{function} took {call:?}, which it never takes"));
        }
    }
    let (function, refused) = REFUSED;
    let denied = |letter: &&Letter| letter.function == function && letter.source == refused;
    if !letters.iter().any(|letter| denied(&letter) && letter.class == Class::InvalidCredentials.slug()) {
        violations.push(format!("no call of {refused} died because {function} refuses its credentials"));
    }
    let (taken, others) = calls()
        .filter(|call| call.source != refused && !is_poisoned(call.id))
        .fold((0, 0), |(taken, all), call| (taken + usize::from(is_taken(function, call)), all + 1));
    eprintln!("{function} took {taken} of {others} calls of the other sources");
    // On a busy machine many become too old by themselves; a function that is stopped takes one in half a
    // minute.
    if taken < others / 10 {
        violations
            .push(format!("{function} took only {taken} of {others} calls of the sources that it takes"));
    }
    violations
}

/// Whether the function failed as a dead letter says.
fn is_caused(letter: &Letter, id: CallId, report: &Report) -> bool {
    let Some(class) = Class::of_slug(&letter.class).filter(|_| !letter.cause.is_empty()) else {
        return false;
    };
    // A busy machine may answer too late by itself.
    if class == Class::Timeout {
        return true;
    }
    let of_call = report.seen.get(&letter.function).and_then(|seen| seen.get(&id));
    let count = of_call.map_or(0, |seen| seen.failed.count(class));
    let itself = count > 0;
    let of_function = report.failed.get(&letter.function).is_some_and(|failed| failed.has(class));
    // Failures of one class alone, each of its retries among them: a call that had waited for a service that
    // was away used to die at its first error.
    let dies_after = match class {
        Class::ExecutionError if letter.destination == CRM => 2,
        Class::ExecutionError | Class::TooLarge | Class::BadRequest | Class::Recursive => 1,
        Class::Unanswered => 5,
        _ => u32::MAX,
    };
    match letter.destination.as_str() {
        // Its calls become too old; then the cause is the function's last failure.
        BULK => itself || of_function || class == Class::Unavailable,
        _ => count >= dies_after,
    }
}

/// Calls of a user that a function got before an earlier one was taken or dead.
fn out_of_order(
    function: &str,
    clients: &[Vec<Call>],
    report: &Report,
    dead: &BTreeSet<(&str, CallId)>,
) -> Vec<String> {
    let Some(seen) = report.seen.get(function) else { return vec![format!("{function} was never invoked")] };
    let mut violations = Vec::new();
    // When the last call of each user so far was taken.
    let mut taken: HashMap<(usize, usize), u64> = HashMap::new();
    for call in clients.iter().flatten().filter(|call| !call.is_excluded) {
        if function_for(ORDERS, call.source, call.kind) != Some(function) {
            continue;
        }
        let Some(of_call) = seen.get(&call.id) else { continue };
        let last = taken.entry((call.id.0, call.user)).or_default();
        if of_call.first_invoked < *last {
            violations
                .push(format!("{function}: {call:?} overtook an earlier call of its user: {of_call:?}"));
        }
        // When a call became a dead letter is not known here.
        if let Some(at) = of_call.first_taken.filter(|_| !dead.contains(&(function, call.id))) {
            *last = at.max(*last);
        }
    }
    violations
}

/// The ledger has each call once, and each dead letter.
async fn ledger_balances(forebay: &Forebay, calls: &[Call], letters: &[Letter]) {
    let ledger: Value = serde_json::from_slice(&ask(forebay, "/api/ledger").await.body).unwrap();
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    for source in SOURCES {
        let all = ledger["sources"].as_array().unwrap();
        let of_source = all.iter().find(|one| one["source"] == source).unwrap();
        let delivered = |of: &Value| of["totals"]["delivered"].as_u64().unwrap();
        let own = calls.iter().filter(|call| call.source == source).count();
        assert_eq!(delivered(of_source), own as u64, "calls of {source}: {ledger:#}");
        for destination in DESTINATIONS {
            let stream = format!("dead/{destination}");
            let dead = of_source["streams"]
                .as_array()
                .and_then(|streams| streams.iter().find(|one| one["stream"] == *stream).map(delivered));
            let own = letters.iter().filter(|one| one.destination == destination && one.source == source);
            assert_eq!(dead.unwrap_or(0), own.count() as u64, "{stream} of {source}: {ledger:#}");
        }
    }
}

/// `forebay verify --deep` finds nothing.
async fn bucket_is_sound(store: &Forebay) {
    let mut verify = command();
    verify.args(["verify", "forebay", "--deep", "--endpoint-url", &store.s3]);
    verify.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    let output = finished(&mut verify).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("{}", said.lines().last().unwrap_or_default());
}
