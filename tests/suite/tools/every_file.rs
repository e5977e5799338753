//! Every file that the directory of a spool can hold, missing, empty, cut or flipped: the collector starts,
//! takes calls and delivers, or refuses to start by name; and each call is delivered, or named as lost
//! (docs/damage.md).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{files, names, spool};
use crate::serve::support::{CREDENTIALS, Caller, PATIENCE, Rig, Settings, ask, status};
use crate::support::bucket::Bucket;
use crate::support::crash::copy;
use crate::support::damage::Damage;
use crate::support::forebay::{Forebay, Starting, command, finished};
use crate::support::http::Http;
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait::until;

/// A source whose calls are delivered and wait for a function, and one whose bucket is not there yet.
const SOURCES: [&str; 2] = ["web", "shop"];
/// Requests until every kind of file is there, at most.
const REQUESTS_MAX: usize = 400;
/// The last request of the source whose bucket is missing: 3 MB wait for it then, and its share of the spool
/// is 4 MB.
const REFUSED_MAX: usize = 60;
const ROWS: usize = 40;

/// The kind of a file, as docs/damage.md names it, by its place in the directory.
fn kind(name: &str) -> &'static str {
    match name {
        "LOCK" => "LOCK",
        "IDENT" => "IDENT",
        "IDENT.copy" => "IDENT.copy",
        "reserve" => "reserve",
        "deliveries.redb" => "deliveries.redb",
        "imports.redb" => "imports.redb",
        "imports.made" => "imports.made",
        "destinations.json" => "destinations.json",
        "destinations.copy.json" => "destinations.copy.json",
        "destinations.reserve" => "destinations.reserve",
        _ if name.ends_with(".tmp") => "….tmp",
        _ if name.starts_with("MANIFEST-") => "MANIFEST-",
        _ if name.starts_with("wal-") && name.ends_with(".seg") => "wal-….seg",
        _ if name.starts_with("wal-") && name.ends_with(".idx") => "wal-….idx",
        _ if name.starts_with("seen-") => "seen-",
        _ if name.starts_with("parked/") => "parked/",
        _ if name.starts_with("queued/") => "queued/",
        _ if name.starts_with("staging/") => "staging/",
        _ if name.starts_with("quarantine/") => "quarantine/",
        other => panic!("{other}: docs/damage.md and this test do not know it"),
    }
}

/// The kinds that the spool of this test must have.
const KINDS: [&str; 15] = [
    "IDENT", "IDENT.copy", "reserve", "deliveries.redb", "imports.redb", "imports.made", "destinations.json",
    "destinations.copy.json", "MANIFEST-", "wal-….seg", "wal-….idx", "seen-", "parked/", "queued/", "LOCK",
];

/// A spool that used everything, as a kill left it, and what is known of its calls.
struct Made {
    rig: Rig,
    dir: PathBuf,
    /// The acknowledged calls and imported rows of each source.
    acknowledged: BTreeMap<&'static str, BTreeSet<String>>,
}

fn settings(rig: &Rig, function: &str) -> Settings {
    let mut settings = rig.settings(&SOURCES);
    settings.sources[1].1.push_str("\nbucket = \"later\"");
    settings.spool.push_str("\nsegment_bytes = \"8 MiB\"\nmax_bytes = \"64 MiB\"");
    settings.flush = "max_age = \"1 h\"\nmax_bytes = \"600 kB\"\nshutdown_grace = \"1 s\"".to_owned();
    settings.sources.last_mut().unwrap().1.push_str(&format!(
        "\n[[destination]]\nname = \"crm\"\ntype = \"http\"\nurl = \"{function}\"\nsources = [\"web\"]\n\
         timeout = \"1 s\"\nmax_queue = \"16 MiB\""
    ));
    settings
}

/// The kinds of the files of a directory, from their names alone: a running program may delete any of them
/// meanwhile.
fn kinds(dir: &Path) -> BTreeSet<&'static str> {
    names(dir).iter().map(|name| kind(name)).collect()
}

impl Made {
    async fn start() -> Self {
        let rig = Rig::start(&["lake"]).await;
        let function = ScriptedHttp::elsewhere(|_| Reply::status(503)).await;
        let settings = settings(&rig, &function.url());
        let forebay = settings.serve().await;
        let mut caller = Caller::new();
        let table = rig.folder.path().join("track_1.csv");
        let rows = (0..ROWS).map(|row| format!("row-{row},u,e\n")).collect::<String>();
        fs::write(&table, format!("messageId,userId,event\n{rows}")).unwrap();
        let mut import = command();
        import.args(["import", "csv", "--progress", "none", "--source", "web", "--admin", &forebay.console]);
        let imported = finished(import.arg(&table)).await;
        assert!(imported.status.success(), "{imported:?}");
        let mut requests = 0;
        until("every kind of file", 2 * PATIENCE, async || {
            if requests < REQUESTS_MAX {
                requests += 1;
                let source = if requests <= REFUSED_MAX { SOURCES[requests % 2] } else { "web" };
                caller.send(&forebay, source, 5, 20_000).await;
            }
            let missing: Vec<_> = {
                let there = kinds(&settings.spool_dir());
                KINDS.into_iter().filter(|kind| !there.contains(kind)).collect()
            };
            // A file of the queue counts once the kept positions list it.
            let queued = async || functions(&forebay).await.iter().any(|one| one["queued_bytes"] != 0);
            (missing.is_empty() && queued().await).then_some(())
        })
        .await;
        forebay.kill().await;
        let dir = rig.folder.path().join("made");
        copy(&settings.spool_dir(), &dir);
        let acknowledged = SOURCES.map(|source| (source, caller.of(source))).into_iter().collect();
        let mut made = Self { rig, dir, acknowledged };
        made.acknowledged.get_mut("web").unwrap().extend((0..ROWS).map(|row| format!("row-{row}")));
        made
    }
}

/// What became of a spool.
#[derive(Debug)]
struct Became {
    verified: (Option<i32>, String),
    /// The log of a start that was refused.
    refused: Option<String>,
    /// By source: calls that are in no bucket, and lines that are more than once.
    missing: BTreeMap<&'static str, BTreeSet<String>>,
    twice: BTreeMap<&'static str, usize>,
    /// Calls of `web` that the function never got.
    unsent: usize,
    functions: Vec<Value>,
    status: Value,
}

/// A count of a source in a status.
fn count_of(status: &Value, source: &str, pointer: &str) -> u64 {
    let mut sources = status["sources"].as_array().unwrap().iter();
    let of = sources.find(|one| one["id"] == source).unwrap_or_else(|| panic!("{status:#}"));
    of.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{of:#}"))
}

/// The calls of a source that wait for the bucket.
fn pending_of(status: &Value, source: &str) -> u64 {
    count_of(status, source, "/pending_calls")
}

/// The calls of a source that the ledger names as lost.
fn lost_of(status: &Value, source: &str) -> u64 {
    count_of(status, source, "/ledger/lost")
}

/// The functions of all destinations, as the node shows them.
async fn functions(forebay: &Forebay) -> Vec<Value> {
    let shown = ask(forebay, "/api/destinations").await;
    let shown: Value = serde_json::from_slice(&shown.body).unwrap();
    let destinations = shown["destinations"].as_array().unwrap().iter();
    destinations.flat_map(|one| one["functions"].as_array().unwrap().clone()).collect()
}

/// What the alarms of a status say.
fn alarms(status: &Value) -> Vec<String> {
    let alarms = status["alarms"].as_array().unwrap().iter();
    alarms
        .map(|alarm| format!("{}: {}", alarm["kind"].as_str().unwrap(), alarm["what"].as_str().unwrap()))
        .collect()
}

/// The lines of all objects below a source, by key.
async fn objects(bucket: &Bucket, source: &str) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for object in bucket.objects(&format!("segment-logs/{source}/")).await {
        let id = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["messageId"].as_str().unwrap().to_owned()
        };
        all.insert(object.key.clone(), object.text().lines().map(id).collect());
    }
    all
}

/// Damages a copy of the spool, and starts the collector with it beside a function that works and a store
/// that has both buckets.
async fn became(made: &Made, damages: &[(String, Damage)]) -> Option<Became> {
    let rig = Rig::start(&["lake", "later"]).await;
    let function = ScriptedHttp::elsewhere(|_| Reply::status(200)).await;
    let settings = settings(&rig, &function.url());
    let dir = settings.spool_dir();
    copy(&made.dir, &dir);
    let mut changed = false;
    for (name, damage) in damages {
        changed |= damage.befalls(&dir.join(name));
    }
    if !changed && !damages.is_empty() {
        return None;
    }
    let ran = spool("verify", &dir, &[]);
    let verified = (ran.code, ran.out + &ran.err);
    let mut became = Became {
        verified,
        refused: None,
        missing: BTreeMap::new(),
        twice: BTreeMap::new(),
        unsent: 0,
        functions: Vec::new(),
        status: Value::Null,
    };
    let Ok(forebay) =
        Starting::serve(settings.write(), &CREDENTIALS).serve_ready_or_log().await.map_err(|log| {
            became.refused = Some(log);
        })
    else {
        return Some(became);
    };
    let mut caller = Caller::after(100_000);
    for source in SOURCES {
        caller.send(&forebay, source, 1, 10).await;
    }
    let url = format!("{}/api/flush", forebay.console);
    until(&format!("{damages:?}: everything that can be to be delivered"), PATIENCE, async || {
        let report: Value = serde_json::from_slice(&Http::new().post(&url, "").await.unwrap().body).unwrap();
        let now = status(&forebay).await;
        // Only a sound copy of a damaged parked object helps; the other source is delivered meanwhile.
        let waits_for_a_person = alarms(&now).iter().any(|what| what.contains("the parked object"));
        let pending = report["pending"].as_u64().unwrap();
        (pending == 0 || (waits_for_a_person && pending_of(&now, "web") == 0)).then_some(())
    })
    .await;
    until("the function to have what it can get", PATIENCE, async || {
        became.functions = functions(&forebay).await;
        became.functions.iter().all(|one| one["behind"] == 0).then_some(())
    })
    .await;
    became.status = status(&forebay).await;
    assert!(forebay.terminate().await.success());
    for source in SOURCES {
        let mut wanted = made.acknowledged[source].clone();
        wanted.extend(caller.of(source));
        let mut all = objects(&made.rig.bucket("lake"), source).await;
        // Work of unknown outcome is done again under the same key.
        let bucket = rig.bucket(if source == "web" { "lake" } else { "later" });
        all.extend(objects(&bucket, source).await);
        let lines: Vec<String> = all.into_values().flatten().collect();
        let found: BTreeSet<String> = lines.iter().cloned().collect();
        became.twice.insert(source, lines.len() - found.len());
        assert!(found.is_subset(&wanted), "{damages:?}: {source}: calls that nobody sent");
        became.missing.insert(source, wanted.difference(&found).cloned().collect());
        if source == "web" {
            let sent: BTreeSet<String> = function
                .requests()
                .iter()
                .map(|request| {
                    let call: Value = serde_json::from_slice(&request.body).unwrap();
                    call["messageId"].as_str().unwrap().to_owned()
                })
                .collect();
            became.unsent = wanted.difference(&sent).count();
        }
    }
    Some(became)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_of_a_spool_may_be_damaged() {
    let made = Made::start().await;
    let mut cases = vec![Vec::new()];
    let mut of_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for name in files(&made.dir).into_keys() {
        of_kind.entry(kind(&name)).or_default().push(name);
    }
    for names in of_kind.values() {
        for damage in Damage::ALL {
            cases.push(vec![(names[0].clone(), damage)]);
        }
    }
    let (left, done) = (RefCell::new(cases), RefCell::new(Vec::new()));
    let try_all = async || {
        loop {
            let Some(damages) = left.borrow_mut().pop() else { return };
            let became = became(&made, &damages).await;
            done.borrow_mut().push((became, damages));
        }
    };
    tokio::join!(try_all(), try_all(), try_all());
    let mut seen = BTreeSet::new();
    for (became, damages) in done.into_inner() {
        let Some(became) = became else { continue };
        let of = damages.first().map(|(name, damage)| (kind(name), *damage));
        seen.insert(of);
        if let Err(why) = became.is_as_documented(of) {
            panic!("{damages:?}: {why}: {became:#?}");
        }
    }
    assert!(seen.len() > 3 * KINDS.len(), "{seen:?}");
}

impl Became {
    /// Whether what is lost is what docs/damage.md says, and is named.
    fn is_as_documented(&self, damaged: Option<(&str, Damage)>) -> Result<(), &'static str> {
        let must = |holds: bool, why: &'static str| holds.then_some(()).ok_or(why);
        let (file, damage) = damaged.unwrap_or_default();
        if file == "MANIFEST-" && matches!(damage, Damage::Missing | Damage::Empty) {
            let named = self.refused.as_ref().is_some_and(|log| log.contains("manifest"));
            return must(named && self.verified.0 == Some(1), "a start without a manifest's state");
        }
        must(self.refused.is_none(), "the start was refused")?;
        must(self.twice.values().all(|lines| *lines == 0), "a call is there twice")?;
        let lost_of_web = if file == "wal-….seg" { lost_of(&self.status, "web") } else { 0 };
        must(self.missing["web"].len() as u64 == lost_of_web, "calls of web are missing and not named")?;
        let (of_shop, alarms) = (self.missing["shop"].len() as u64, alarms(&self.status));
        let lost: u64 = self.functions.iter().map(|function| function["lost"].as_u64().unwrap()).sum();
        match file {
            "parked/" => {
                let alarm =
                    |of: &str| alarms.iter().any(|what| what.starts_with("damage: ") && what.contains(of));
                let is_lost = alarm("can no longer be read") && lost_of(&self.status, "shop") == of_shop;
                let named = if damage == Damage::Missing { is_lost } else { alarm("the parked object") };
                must(of_shop > 0 && named, "its calls wait for a person, or are named as lost")?;
                must(self.unsent == 0 && self.verified.0 == Some(1), "nothing else is touched")
            }
            "queued/" => {
                must(
                    of_shop == 0 && self.unsent > 0 && lost == self.unsent as u64,
                    "each lost call is counted",
                )?;
                let named = alarms.iter().any(|what| what.starts_with("damage: ") && what.contains("crm"));
                must(named && self.verified.0 == Some(1), "an alarm names them")
            }
            // The archive had most of its calls before; the function may not have got them. A flipped byte
            // may be one of nothing, or of a call that the function does not get.
            "wal-….seg" => {
                let named = alarms.iter().any(|what| what.starts_with("damage: "));
                let is_seen = named && self.verified.0 == Some(1);
                must(of_shop == 0, "the archive lost a call")?;
                must(is_seen || damage == Damage::Flipped && lost == 0, "an alarm names its positions")?;
                must(self.unsent as u64 <= lost, "the function's lost calls are counted")
            }
            "imports.redb" if damage != Damage::Flipped => {
                let named = alarms.iter().any(|what| what.contains("E-IMPORT-JOURNAL"));
                must(of_shop == 0 && self.unsent == 0 && named, "imports are refused by name")
            }
            _ => {
                must(of_shop == 0 && self.unsent == 0 && lost == 0, "nothing is lost")?;
                let damages = alarms.iter().filter(|what| what.starts_with("damage: "));
                must(damages.count() == 0, "nothing is said to be lost")
            }
        }
    }
}
