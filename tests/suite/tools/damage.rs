//! The reports of `verify` and `export` for deliberately damaged spools.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use forebay::log::frame::Frame;
use forebay::object::Stream;
use forebay::spool::manifest;
use forebay::spool::offline::{View, Visitor, survey, verify};
use serde_json::Value;

use super::made::{CONFLICT, IOS, Made, OPEN, PARKED, REJECTED, lines, made};
use super::{copy, files, spool};

fn flip(file: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn cut(file: &Path, len: u64) {
    OpenOptions::new().write(true).open(file).unwrap().set_len(len).unwrap();
}

/// The offset in a file of the first line with this text.
fn find(file: &Path, text: &str) -> u64 {
    let bytes = fs::read(file).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes());
    at.unwrap_or_else(|| panic!("no {text} in {file:?}")) as u64
}

/// The last file whose name has this beginning and end.
fn file(dir: &Path, begin: &str, end: &str) -> PathBuf {
    let names = files(dir).into_keys().filter(|name| name.starts_with(begin) && name.ends_with(end));
    dir.join(names.max().unwrap_or_else(|| panic!("no {begin}…{end} in {dir:?}")))
}

/// The first closed segment.
fn closed(dir: &Path) -> PathBuf {
    let index = file(dir, "wal-", ".idx");
    index.with_extension("seg")
}

struct Damage {
    findings: Vec<Value>,
    verified: super::Ran,
    dir: PathBuf,
}

/// Damages a copy and verifies it.
fn damaged(made: &Made, name: &str, damage: impl FnOnce(&Path)) -> Damage {
    let dir = made.beside(name);
    copy(&made.dir(), &dir);
    damage(&dir);
    let before = files(&dir);
    let verified = spool("verify", &dir, &["--json"]);
    let report = verified.json();
    let findings = report["findings"].as_array().unwrap().clone();
    assert_eq!(verified.code, Some(i32::from(!findings.is_empty())), "{name}: {verified:?}");
    let text = spool("verify", &dir, &[]);
    assert_eq!(text.code, verified.code, "{name}");
    assert!(text.out.ends_with(" parked object\n"), "{name}: {text:?}");
    spool("export", &dir, &[]);
    assert_eq!(files(&dir), before, "{name}: reading changes nothing");
    Damage { findings, verified, dir }
}

/// Expects a finding with this kind, file, byte within its range, positions and acknowledgement.
fn check(
    of: &Damage,
    kind: &str,
    file: &str,
    byte: Option<u64>,
    positions: Option<(u64, u64)>,
    answered: Option<&str>,
) {
    let matches = |finding: &Value| {
        let bytes = finding["bytes"]["from"].as_u64().zip(finding["bytes"]["to"].as_u64());
        let found = finding["positions"]["first"].as_u64().zip(finding["positions"]["last"].as_u64());
        finding["kind"] == kind
            && finding["file"].as_str().unwrap().starts_with(file)
            && byte.is_none_or(|byte| bytes.is_some_and(|(from, to)| (from..to).contains(&byte)))
            && found == positions
            && finding["answered"].as_str() == answered
    };
    assert!(
        of.findings.iter().any(matches),
        "no {kind} in {file} at {byte:?}, {positions:?}: {:#?}",
        of.verified
    );
}

#[tokio::test]
async fn every_damage_is_reported_exactly() {
    let made = made().await;
    let web = |number: u32| format!(r#""web","n":{number},"#);

    let mut at = 0;
    let of = damaged(&made, "a byte of an open call", |dir| {
        at = find(&closed(dir), &web(95));
        flip(&closed(dir), at);
    });
    check(&of, "frames", "wal-", Some(at), Some((96, 96)), Some("yes"));
    assert_eq!(of.findings.len(), 1, "{:?}", of.findings);
    let exported = spool("export", &of.dir, &[]);
    assert_eq!(exported.code, Some(1));
    let left: Vec<String> =
        [lines("web", PARKED), lines("web", CONFLICT), lines("web", OPEN), lines("ios", IOS)].concat();
    let left: Vec<&String> = left.iter().filter(|line| !line.contains(&web(95))).collect();
    assert_eq!(exported.out.lines().collect::<Vec<_>>(), left);
    assert!(exported.err.contains("positions 96 to 96 (1 frame), acknowledged"), "{}", exported.err);

    let of = damaged(&made, "a byte of a sealed call", |dir| {
        at = find(&closed(dir), &web(75));
        flip(&closed(dir), at);
    });
    check(&of, "frames", "wal-", Some(at), Some((76, 76)), Some("yes"));
    check(&of, "seal", "(the segments)", None, Some((71, 90)), Some("yes"));

    let of = damaged(&made, "the length of a call", |dir| {
        at = find(&closed(dir), &line_of(91)) - 47;
        flip(&closed(dir), at + 2);
    });
    check(&of, "frames", "wal-", Some(at), Some((92, 95)), Some("yes"));

    let of = damaged(&made, "a block's header", |dir| {
        // The block with 90 to 94 begins 32 bytes before its first frame, whose header has 44 bytes and its
        // source 3.
        at = find(&closed(dir), &line_of(90)) - 47 - 32;
        flip(&closed(dir), at + 9);
    });
    check(&of, "blocks", "wal-", Some(at), Some((91, 95)), Some("yes"));

    let of = damaged(&made, "a segment's header", |dir| flip(&closed(dir), 34));
    check(&of, "header", "wal-", Some(34), None, None);
    let of = damaged(&made, "unused bytes", |dir| flip(&closed(dir), 999));
    check(&of, "header", "wal-", Some(999), None, None);

    let of = damaged(&made, "a segment that ends early", |dir| {
        cut(&closed(dir), find(&closed(dir), &line_of(96)))
    });
    check(
        &of,
        "frames",
        "wal-",
        Some(find(&closed(&made.dir()), &line_of(96))),
        Some((97, 100)),
        Some("yes"),
    );
    assert!(of.findings.iter().any(|finding| finding["kind"] == "blocks"), "{:?}", of.findings);

    let of = damaged(&made, "a segment that is gone", |dir| fs::remove_file(closed(dir)).unwrap());
    assert!(of.findings.iter().any(|finding| finding["kind"] == "missing"), "{:?}", of.findings);
    check(&of, "seal", "(the segments)", None, Some((71, 90)), Some("yes"));

    let of = damaged(&made, "one of the two notes that the manifest begins with", |dir| {
        flip(&file(dir, "MANIFEST-", ""), 40);
    });
    check(&of, "copy", "MANIFEST-", Some(40), None, None);
    let of = damaged(&made, "both notes that the manifest begins with", |dir| {
        let manifest = file(dir, "MANIFEST-", "");
        let len = u32::from_le_bytes(fs::read(&manifest).unwrap()[..4].try_into().unwrap());
        flip(&manifest, 40);
        flip(&manifest, 8 + u64::from(len) + 40);
    });
    check(&of, "manifest", "MANIFEST-", Some(40), None, None);
    let exported = spool("export", &of.dir, &["--source", "ios"]);
    assert_eq!(exported.code, Some(1));
    assert_eq!(exported.out.lines().collect::<Vec<_>>(), lines("ios", IOS));

    let of = damaged(&made, "a manifest that ends early", |dir| {
        let manifest = file(dir, "MANIFEST-", "");
        cut(&manifest, manifest::written(&fs::read(&manifest).unwrap()).len() as u64 - 3);
    });
    assert!(of.findings.is_empty() && of.verified.out.contains("never had an effect"), "{:?}", of.verified);
    assert!(of.verified.out.contains("no segment that the manifest names is missing"), "{:?}", of.verified);

    let of = damaged(&made, "a manifest whose end rotted, with a segment that is gone", |dir| {
        let manifest = file(dir, "MANIFEST-", "");
        cut(&manifest, manifest::written(&fs::read(&manifest).unwrap()).len() as u64 - 3);
        fs::remove_file(closed(dir)).unwrap();
    });
    assert!(of.verified.out.contains("segments that are missing: wal-"), "{:?}", of.verified);

    let of = damaged(&made, "an index's directory", |dir| flip(&file(dir, "wal-", ".idx"), 50));
    check(&of, "index", "wal-", Some(50), None, None);
    let of = damaged(&made, "where an index leads to", |dir| {
        let index = file(dir, "wal-", ".idx");
        at = fs::metadata(&index).unwrap().len() - 20;
        flip(&index, at);
    });
    check(&of, "index", "wal-", Some(at), None, None);
    // The index is a cache: errors in it cost no calls.
    assert_eq!(spool("resolve", &of.dir, &["--seal", "3", "--action", "overwrite"]).code, Some(0));
    let to = made.beside("to");
    assert_eq!(spool("drain", &of.dir, &["--to", to.to_str().unwrap()]).code, Some(0));
    let objects = super::drain::delivered(&to);
    assert_eq!(
        objects.values().flatten().count(),
        PARKED.len() + CONFLICT.len() + OPEN.len() + IOS.len() + REJECTED.len()
    );
    let of = damaged(&made, "fingerprints", |dir| flip(&file(dir, "seen-", ""), 50));
    check(&of, "fingerprints", "seen-", Some(50), None, None);

    let parked = Some((51, 70));
    let of = damaged(&made, "a parked object", |dir| flip(&file(dir, "parked/", ".gz"), 60));
    check(&of, "parked", "parked/", Some(60), parked, Some("yes"));
    let exported = spool("export", &of.dir, &["--source", "web"]);
    assert_eq!(
        exported.out.lines().collect::<Vec<_>>(),
        [lines("web", CONFLICT), lines("web", OPEN)].concat()
    );
    let of = damaged(&made, "a parked object that ends early", |dir| cut(&file(dir, "parked/", ".gz"), 60));
    check(&of, "parked", "parked/", Some(0), parked, Some("yes"));
    let of = damaged(&made, "a parked object that is gone", |dir| {
        fs::remove_file(file(dir, "parked/", ".gz")).unwrap();
    });
    check(&of, "parked", "parked/", None, parked, Some("yes"));

    let of = damaged(&made, "the spool id in IDENT", |dir| {
        let ident = dir.join("IDENT");
        let text = fs::read_to_string(&ident).unwrap();
        let other = text.replace("\"spool_id\": \"0", "\"spool_id\": \"1");
        assert_ne!(text, other);
        fs::write(&ident, other).unwrap();
    });
    check(&of, "copy", "IDENT", None, None, None);

    // Not known to be acknowledged, because nothing was written after it.
    let of = damaged(&made, "the end of the last write", |dir| {
        let open = find_open(dir);
        flip(&open, find(&open, r#""rejected","n":2"#));
    });
    assert!(of.findings.is_empty(), "{:?}", of.findings);
    assert!(of.verified.out.contains("its calls were never acknowledged"), "{:?}", of.verified);
}

/// Without it, delivered calls were delivered again, and those of parked objects went to quarantine without a
/// word.
#[tokio::test]
async fn a_spool_without_its_manifest_is_refused_and_its_calls_are_exported() {
    let made = made().await;
    let dir = made.beside("without a manifest");
    copy(&made.dir(), &dir);
    fs::remove_file(file(&dir, "MANIFEST-", "")).unwrap();
    let before = files(&dir);
    let verified = spool("verify", &dir, &["--json"]);
    let report = verified.json();
    assert_eq!((verified.code, &report["findings"][0]["kind"]), (Some(1), &"manifest".into()), "{report:#}");
    assert_eq!(report["findings"][0]["file"], "MANIFEST");

    let exported = spool("export", &dir, &[]);
    let lines_there: BTreeSet<&str> = exported.out.lines().collect();
    let left = [lines("web", CONFLICT), lines("web", OPEN), lines("ios", IOS)].concat();
    assert!(left.iter().all(|line| lines_there.contains(line.as_str())), "{exported:?}");

    // Its lines are no longer in a segment.
    assert_eq!(exported.code, Some(1));
    let parked = file(&dir, "parked/", ".gz");
    let parked = format!("parked/{}", parked.file_name().unwrap().to_str().unwrap());
    assert!(exported.err.contains(&format!("`zcat {parked}` prints them")), "{}", exported.err);
    assert!(report["findings"].as_array().unwrap().iter().any(|one| one["file"] == *parked), "{report:#}");
    let resolved = spool("resolve", &dir, &["--seal", "1", "--action", "keep-theirs"]);
    assert!(resolved.err.contains("the spool's manifest is missing"), "{resolved:?}");

    let drained = spool("drain", &dir, &["--to", made.beside("drained").to_str().unwrap()]);
    assert!(drained.err.contains("the spool's manifest is missing"), "{drained:?}");
    assert_eq!((drained.code, files(&dir)), (Some(1), before), "nothing is changed");
}

fn line_of(number: u32) -> String {
    format!(r#"{{"source":"web","n":{number},"#)
}

/// The segment with the last rejected line.
fn find_open(dir: &Path) -> PathBuf {
    let last = format!(r#""rejected","n":{},"#, REJECTED.end - 1);
    let holds = |name: &String, bytes: &Vec<u8>| {
        name.ends_with(".seg") && bytes.windows(last.len()).any(|window| window == last.as_bytes())
    };
    let name = files(dir).into_iter().find(|(name, bytes)| holds(name, bytes)).unwrap().0;
    dir.join(name)
}

#[derive(Default)]
struct Undelivered(BTreeSet<String>);

struct Collecting<'a> {
    view: &'a View,
    all: Undelivered,
}

impl Visitor for Collecting<'_> {
    fn frame(&mut self, _: u64, _: u64, frame: &Frame<'_>) {
        let Some(key) = frame.batch() else { return };
        if frame.position > self.view.cursor(&key).1 && key.stream == Stream::Calls {
            self.all.0.insert(String::from_utf8(frame.payload.to_vec()).unwrap());
        }
    }
}

fn undelivered(dir: &Path) -> Option<BTreeSet<String>> {
    let view = View::open(dir).ok()?;
    let mut all = Collecting { view: &view, all: Undelivered::default() };
    survey(&view, &mut all, &mut |_, _| {}).ok()?;
    Some(all.all.0)
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_found_or_harmless() {
    /// A prime, so that the chosen bytes fall into every part of repeating structures.
    const EVERY: u64 = 307;
    let made = made().await;
    let dir = made.dir();
    let sound = undelivered(&dir).unwrap();
    assert_eq!(sound.len(), CONFLICT.len() + OPEN.len() + IOS.len());
    let (mut found, mut harmless) = (0, 0);
    for (name, bytes) in files(&dir) {
        // Reserved space and files for reuse contain nothing.
        if name == "reserve" || name.starts_with("spare-") {
            continue;
        }
        let file = dir.join(&name);
        // The same holds for the padding of a manifest.
        let len = if name.starts_with("MANIFEST-") { manifest::written(&bytes).len() } else { bytes.len() };
        let mut at = 0;
        while at < len as u64 {
            flip(&file, at);
            let verified = View::open(&dir).ok().map(|view| verify(&view, &mut |_, _| ()).unwrap());
            match verified {
                Some(verified) if verified.sound => {
                    harmless += 1;
                    let still = undelivered(&dir).unwrap();
                    let torn = verified.notes.iter().any(|note| note.contains("never acknowledged"));
                    assert!(still == sound || (torn && still.is_subset(&sound)), "byte {at} of {name}");
                }
                Some(verified) => {
                    found += 1;
                    assert!(
                        undelivered(&dir).unwrap().is_subset(&sound) || name.starts_with("MANIFEST"),
                        "byte {at} of {name}"
                    );
                    assert!(verified.findings.iter().all(|finding| !finding.what.is_empty()));
                }
                None => found += 1,
            }
            flip(&file, at);
            at += EVERY;
        }
    }
    assert!(found > 100 && harmless > 100, "{found} found, {harmless} harmless");
}
