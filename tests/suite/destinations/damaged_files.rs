//! Files that destinations keep, missing, cut or flipped: nothing is passed over without being counted and
//! named, and intake goes on.

use std::path::{Path, PathBuf};

use forebay::alarms::AlarmKind;
use forebay::destinations::positions::lost_calls;
use rustix::fs::{FlockOperation, flock};

use super::*;
use crate::support::crash::copy;
use crate::support::damage::Damage;

const CALLS: usize = 4_000;
const LISTS: [&str; 2] = ["destinations.json", "destinations.copy.json"];

fn walkdir(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walkdir(&path) } else { vec![path] }).collect()
}

/// A spool in which all calls wait, most of them in pieces.
async fn made(dir: &Path) {
    let functions = Functions::new(|_, _| Ok(()));
    functions.hanging.lock().unwrap().insert("f".to_owned());
    let node = Node::start_with(dir, &functions, vec![crm(&[("track", "f")], 2, HOUR)], SMALL_SHARE).await;
    stores_much(&node, CALLS / 100, &["track"]).await;
    holds("calls are queued", || std::fs::read_dir(dir.join("queued")).unwrap().count() > 3).await;
    holds("the log keeps its share", || node.spool.follow().held_bytes() <= SMALL_SHARE).await;
    node.stopped().await;
}

/// What a node makes of a spool: the calls that its function got, and how many it says are lost.
async fn sends(dir: &Path, what: &str) -> (BTreeSet<String>, u64, bool) {
    let functions = Functions::new(|_, _| Ok(()));
    let node = Node::start_with(dir, &functions, vec![crm(&[("track", "f")], 2, HOUR)], SMALL_SHARE).await;
    let is_damage = |node: &Node| node.alarms.standing().iter().any(|alarm| alarm.kind == AlarmKind::Damage);
    node.stores(calls(CALLS, 1, "track")).await;
    let progress = node.progress();
    holds(&format!("{what}: everything is sent or lost"), || {
        progress.finished_through() >= node.spool.follow().durable_through()
    })
    .await;
    let lost = lost_calls(&progress.seen().lost);
    if lost > 0 {
        holds(&format!("{what}: an alarm"), || is_damage(&node)).await;
    }
    let is_alarm = is_damage(&node);
    node.stopped().await;
    (functions.invoked("f").into_iter().collect(), lost, is_alarm)
}

/// Whether no process holds the lock of a spool.
fn is_free(dir: &Path) -> bool {
    let lock = std::fs::File::open(dir.join("LOCK")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockShared).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_any_file_is_named_and_what_it_took_is_counted() {
    let good = tempfile::tempdir().unwrap();
    made(good.path()).await;
    let mut pieces: Vec<String> = walkdir(&good.path().join("queued"))
        .iter()
        .map(|path| format!("queued/{}", path.file_name().unwrap().to_str().unwrap()))
        .collect();
    pieces.sort();
    let first_middle_last = [0, pieces.len() / 2, pieces.len() - 1].map(|at| vec![pieces[at].as_str()]);
    let mut cases: Vec<Vec<&str>> = LISTS.iter().map(|list| vec![*list]).collect();
    cases.push(LISTS.to_vec());
    cases.extend(first_middle_last);
    let all = ids(&calls(0, CALLS + 1, "track"));
    for files in cases {
        for damage in Damage::ALL {
            let what = format!("{damage:?} {files:?}");
            let dir = tempfile::tempdir().unwrap();
            copy(good.path(), dir.path());
            for file in &files {
                assert!(damage.befalls(&dir.path().join(file)), "{what}");
            }
            let verified = spool("verify", dir.path(), &[]);
            assert_eq!(verified.code, Some(1), "{what}: {verified:?}");
            files.iter().for_each(|file| assert!(verified.out.contains(file), "{what}: {verified:?}"));
            let (sent, lost, is_alarm) = sends(dir.path(), &what).await;
            let missing = all.difference(&sent).count() as u64;
            // Counted by what was sent and what arrived.
            assert_eq!(missing, lost, "{what}");
            assert_eq!(missing > 0, files[0].starts_with("queued"), "{what}");
            assert_eq!(is_alarm, lost > 0 || files.len() == 2, "{what}");
            // It is known from then on, and sound. Programs that other tests start hold the lock until they have begun.
            holds(&format!("{what}: a free spool"), || is_free(dir.path())).await;
            let verified = spool("verify", dir.path(), &[]);
            assert_eq!(verified.code, Some(0), "{what}: {verified:?}");
        }
    }
    // Two cases at once, and the end of a piece at the end of a line.
    let dir = tempfile::tempdir().unwrap();
    copy(good.path(), dir.path());
    for file in [LISTS[0], LISTS[1], &pieces[1]] {
        Damage::Missing.befalls(&dir.path().join(file));
    }
    let (sent, ..) = sends(dir.path(), "a piece without a list").await;
    // Without the list nobody knows that there was a piece; the others are sent.
    assert!(sent.len() > CALLS - 1_000, "{}", sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_because_a_list_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path()).await;
    let queued = || walkdir(&dir.path().join("queued")).len();
    let before = queued();
    for list in LISTS {
        Damage::Missing.befalls(&dir.path().join(list));
    }
    let drained = spool("drain", dir.path(), &["--to", dir.path().join("out").to_str().unwrap()]);
    assert_eq!(drained.code, Some(1), "{drained:?}");
    assert!(drained.err.contains("destinations.json is missing"), "{drained:?}");
    assert_eq!(queued(), before);
    // A start without the destination keeps its files, too.
    let functions = Functions::new(|_, _| Ok(()));
    let node = Node::start_with(dir.path(), &functions, Vec::new(), SMALL_SHARE).await;
    node.stores(calls(CALLS, 1, "track")).await;
    node.stopped().await;
    assert_eq!(queued(), 0);
    let quarantine = walkdir(&dir.path().join("quarantine"));
    assert_eq!(quarantine.len(), before, "{quarantine:?}");
}
