//! Three nodes that share a bucket and a journal in a real server: each is killed at several moments and
//! started again, and one loses its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::support::{Ran, ran};
use crate::serve::support::{CREDENTIALS, PATIENCE, Rig, Settings, status};
use crate::support::bucket::Bucket;
use crate::support::forebay::{Forebay, command};
use crate::support::ministack::Ministack;
use crate::support::tcp_proxy::Link;
use crate::support::wait;

const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["path","u"]}}}"#;
const IMPORT: &str = "[[import]]\nname = \"orders\"\nconverter = \"c.json\"\ninsert_id_window = \"0 s\"\nscan_interval = \"1 s\"\n\
    bucket = \"files\"\nprefix = \"in/\"\nparallel = 2\njournal = \"s3://files/in/journal/\"\n";
const FILES: u32 = 12;
/// Several steps.
const ROWS: u32 = 5_000;

/// A node's folder and configuration.
struct Place {
    settings: Settings,
    folder: PathBuf,
    credentials: [(&'static str, &'static str); 2],
}

impl Place {
    fn new(
        root: &std::path::Path,
        name: &str,
        store: &str,
        credentials: [(&'static str, &'static str); 2],
    ) -> Self {
        let folder = root.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("c.json"), CONVERTER).unwrap();
        let mut settings = Settings::new(&folder, store, &["shop"]);
        settings.imports = IMPORT.to_owned();
        Self { settings, folder, credentials }
    }

    async fn serve(&self) -> Forebay {
        Forebay::serve(self.settings.write(), &self.credentials).await
    }

    async fn command(&self, words: &[&str]) -> Ran {
        let mut command = command();
        command.arg("import").args(words).current_dir(&self.folder).envs(self.credentials);
        ran(command).await
    }
}

async fn put(files: &Bucket, number: u32, rows: u32) {
    let key = format!("in/f{number:02}");
    let lines: String = (0..rows).map(|row| format!("{{\"e\":\"{key} {row}\",\"u\":\"u\"}}\n")).collect();
    files.client.put_object().bucket("files").key(&key).body(lines.into_bytes().into()).send().await.unwrap();
}

/// How often each event is in the bucket of the calls, and with which messageIds.
async fn archived(lake: &Bucket) -> BTreeMap<String, Vec<String>> {
    let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lake.lines("shop").await {
        let line: Value = serde_json::from_str(&line).unwrap();
        let ids = events.entry(line["event"].as_str().unwrap().to_owned()).or_default();
        ids.push(line["messageId"].as_str().unwrap().to_owned());
    }
    events
}

/// The claims, and which instances have them.
async fn claims(files: &Bucket) -> Vec<Value> {
    let objects = files.objects("in/journal/").await;
    let claims =
        objects.iter().filter(|object| !object.key.contains("/names/") && !object.key.contains("conditions"));
    claims.map(|object| serde_json::from_slice(&object.body).unwrap()).collect()
}

async fn all_delivered(files: &Bucket, count: usize) {
    wait::until("claims that say that all is delivered", PATIENCE, async || {
        let claims = claims(files).await;
        (claims.len() == count && claims.iter().all(|claim| claim["state"] == "delivered")).then_some(())
    })
    .await;
}

async fn shared_by_three(
    store: &str,
    [lake, files]: [&Bucket; 2],
    credentials: [(&'static str, &'static str); 2],
) {
    let root = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        put(files, number, ROWS).await;
    }
    let places = ["a", "b", "c"].map(|name| Place::new(root.path(), name, store, credentials));
    let mut nodes = Vec::new();
    for place in &places {
        nodes.push(Some(place.serve().await));
    }
    // Each is killed several times, at moments that differ, and started again.
    let mut next = FILES;
    for pause in [150, 400, 900] {
        for (number, place) in places.iter().enumerate() {
            tokio::time::sleep(Duration::from_millis(pause + 70 * number as u64)).await;
            nodes[number].take().unwrap().kill().await;
            nodes[number] = Some(place.serve().await);
            put(files, next, 100).await;
            next += 1;
        }
    }
    let count = FILES as usize + 9;
    all_delivered(files, count).await;
    let archived_now = archived(lake).await;
    let twice: Vec<_> = archived_now.iter().filter(|(_, ids)| ids.len() != 1).take(3).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(archived_now.len(), (FILES * ROWS + 9 * 100) as usize);
    let instances: BTreeSet<String> =
        claims(files).await.iter().map(|claim| claim["instance"].as_str().unwrap().to_owned()).collect();
    assert!(instances.len() >= 2, "{instances:?}");

    // One loses its disk before what it has stored is delivered.
    for node in nodes.drain(..).flatten() {
        assert!(node.terminate().await.success());
    }
    let mut lost = Place::new(root.path(), "lost", store, credentials);
    lost.settings.flush = "max_age = \"1 h\"".to_owned();
    put(files, 90, ROWS).await;
    let node = lost.serve().await;
    let id = wait::until("the last file", PATIENCE, async || {
        let status = status(&node).await;
        let is_done =
            status["imports"][0]["last"]["files"]["done"] == 1 || status["imports"][0]["last"]["known"] == 1;
        is_done.then(|| status["spool_id"].as_str().unwrap().to_owned())
    })
    .await;
    node.kill().await;
    fs::remove_dir_all(lost.settings.spool_dir()).unwrap();
    let one = places[0].serve().await;
    let seen = wait::until("who waits", PATIENCE, async || {
        let status = status(&one).await;
        Some(status["imports"][0]["last"]["claims"].clone())
            .filter(|claims| claims["waiting"][0]["files"] == 1)
    })
    .await;
    assert_eq!(seen["waiting"][0]["instance"], id.as_str(), "{seen}");
    assert!(seen["waiting"][0]["since_ms"].as_i64().is_some_and(|at| at > 1_600_000_000_000), "{seen}");
    let admin = ["--admin", one.console.as_str()];
    let listed =
        places[0].command(&["list", "--only", "claimed", "--limit", "200", admin[0], admin[1]]).await.code(0);
    assert!(listed.out.contains("s3://files/in/f90 into shop (import orders): claimed"), "{}", listed.out);
    assert!(listed.out.contains(&format!("it belongs to the instance {id}, and has not")), "{}", listed.out);
    let ran = places[0].command(&["run", "orders", admin[0], admin[1]]).await.code(0);
    assert!(ran.out.contains(&format!("1 object waits for the instance {id} since ")), "{}", ran.out);
    assert!(ran.out.contains("waits:     s3://files/in/f90"), "{}", ran.out);
    let reset = places[0].command(&["reset-file", "orders", "in/f90", admin[0], admin[1]]).await.code(2);
    assert!(reset.err.contains(&format!("belongs to the instance {id}")), "{}", reset.err);
    let dry = places[0]
        .command(&["release", "orders", "--instance", &id, "--dry-run", admin[0], admin[1]])
        .await
        .code(0);
    assert!(dry.out.contains("would be free") && dry.out.contains("s3://files/in/f90"), "{}", dry.out);
    let own = status(&one).await["spool_id"].as_str().unwrap().to_owned();
    let refused =
        places[0].command(&["release", "orders", "--instance", &own, admin[0], admin[1]]).await.code(2);
    assert!(refused.err.contains("is this instance"), "{}", refused.err);
    let released =
        places[0].command(&["release", "orders", "--instance", &id, admin[0], admin[1]]).await.code(0);
    assert!(
        released.out.contains("1 file (") && released.out.contains("equal messageIds"),
        "{}",
        released.out
    );
    all_delivered(files, count + 1).await;
    let events = archived(lake).await;
    assert_eq!(events.len(), (FILES * ROWS + 9 * 100 + ROWS) as usize);
    assert!(events.values().all(|ids| ids.iter().collect::<BTreeSet<_>>().len() == 1));
    assert!(one.terminate().await.success());
    let tested = places[0].command(&["test-credentials", "orders"]).await;
    assert!(tested.out.contains("journal_put") || tested.out.contains("on a condition"), "{tested:?}");
}

/// The command said that there was no history to keep, and then every row was stored twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_has_begun_nothing_renames_what_others_have_begun() {
    let rig = Rig::start(&["lake", "files"]).await;
    let (lake, files) = (rig.bucket("lake"), rig.bucket("files"));
    let root = tempfile::tempdir().unwrap();
    let mut places = ["a", "b"].map(|name| Place::new(root.path(), name, rig.url(), CREDENTIALS));
    put(&files, 0, 10).await;
    let config = ["--config", "forebay.toml"];
    places[0].settings.write();
    places[0].command(&[&["run", "orders"], &config[..]].concat()).await.code(0);
    let write = |places: &mut [Place; 2], name: &str, more: &str| {
        for place in places {
            place.settings.imports = IMPORT.replace("orders", name) + more;
            place.settings.write();
        }
    };
    let rename = [&["rename", "orders", "sales"], &config[..]].concat();
    // Without its journal, nothing shows that others have begun it.
    write(&mut places, "other", "");
    let refused = places[1].command(&rename).await.code(2);
    assert!(refused.err.contains("If other instances share it"), "{refused:?}");
    write(&mut places, "sales", "enabled = false\n");
    let renamed = places[1].command(&rename).await.code(0);
    assert!(renamed.out.contains("import orders is now sales"), "{renamed:?}");
    write(&mut places, "sales", "");
    put(&files, 1, 10).await;
    for place in &places {
        place.command(&[&["run", "sales"], &config[..]].concat()).await.code(0);
    }
    let events = archived(&lake).await;
    assert!(events.len() == 20 && events.values().all(|ids| ids.len() == 1), "{events:?}");
}

/// It is asked again until it answers, long before the next pass is due, and only what lasts is an alarm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_journal_that_is_away_for_a_moment_raises_no_alarm_and_is_used_when_it_is_back() {
    let rig = Rig::start(&["lake", "files"]).await;
    let (lake, files) = (rig.bucket("lake"), rig.bucket("files"));
    let root = tempfile::tempdir().unwrap();
    // Only the files are read past the link.
    let mut place = Place::new(root.path(), "a", &rig.link.url, CREDENTIALS);
    let imports = IMPORT.replace("\"1 s\"", "\"1 h\"").replace("files/in/journal", "lake/journal");
    place.settings.imports = format!("{imports}endpoint_url = \"{}\"\n", rig.url());
    put(&files, 0, 10).await;
    let node = place.serve().await;
    wait::until("the first file", PATIENCE, async || (archived(&lake).await.len() == 10).then_some(())).await;
    rig.link.set(Link::Cut);
    put(&files, 1, 10).await;
    let admin = ["--admin", node.console.as_str()];
    let ran = place.command(&["run", "orders", admin[0], admin[1]]).await;
    assert!(ran.out.contains("the shared journal s3://lake/journal/ cannot be used"), "{ran:?}");
    let seen = status(&node).await;
    assert!(!seen["alarms"].to_string().contains("shared journal"), "{}", seen["alarms"]);
    rig.link.set(Link::Up);
    wait::until("the second file", PATIENCE, async || (archived(&lake).await.len() == 20).then_some(()))
        .await;
    assert!(!status(&node).await["alarms"].to_string().contains("shared journal"));
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_share_a_bucket_in_the_s3_of_dev() {
    let rig = Rig::start(&["lake", "files"]).await;
    let buckets = [rig.bucket("lake"), rig.bucket("files")];
    shared_by_three(rig.url(), [&buckets[0], &buckets[1]], CREDENTIALS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_share_a_bucket_in_ministack() {
    let Some(ministack) = Ministack::start().await else { return };
    let (lake, files) = (ministack.make_bucket("lake").await, ministack.make_bucket("files").await);
    let root = [("AWS_ACCESS_KEY_ID", Ministack::ROOT), ("AWS_SECRET_ACCESS_KEY", Ministack::ROOT)];
    shared_by_three(&ministack.url(), [&lake, &files], root).await;
}
