//! The fuzz targets as ordinary tests: each runs with its corpus and with seeded mutations of it.
//! `tests/fuzz` runs the same functions under libFuzzer.

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::dice::Dice;

/// The longest input that a mutation produces, in bytes.
const INPUT_MAX: usize = 4_096;
/// The largest corpus allowed in the repository, in bytes.
const CORPUS_MAX: u64 = 300_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The inputs of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<_> = fs::read_dir(folder().join("corpus").join(target))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    inputs.sort();
    assert!(inputs.len() > 3, "{target} has no corpus");
    inputs
}

/// An input being run. If that panics, the input is printed, so that the case can become a test.
struct Case<'i> {
    target: &'i str,
    what: &'i dyn fmt::Display,
    input: &'i [u8],
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("target {}, {}: b\"{}\"", self.target, self.what, self.input.escape_ascii());
        }
    }
}

/// Runs a target with its corpus, and with so many mutations of it.
fn run(target: &str, mutations: u64) {
    let (_, run) = targets::TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let corpus = corpus(target);
    for (name, input) in &corpus {
        let _case = Case { target, what: name, input };
        run(input);
    }
    for seed in 0..mutations {
        let input = mutated(&corpus, &mut Dice(seed));
        let _case = Case { target, what: &format!("seed {seed}"), input: &input };
        run(&input);
    }
}

/// An input of the corpus with a few effective changes: flipped bits, and pieces removed, doubled or inserted
/// from another input.
fn mutated(corpus: &[(String, Vec<u8>)], dice: &mut Dice) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\x01\x7F\x80\xFF{}[]:,\"\\ue0129-+.=/%\n";
    let (_, mut input) = dice.of(corpus);
    for _ in 0..1 + dice.below(5) {
        let at = dice.index(input.len() + 1);
        let end = input.len().min(at + 1 + dice.index(16));
        match dice.below(6) {
            0 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
            1 => input.insert(at, dice.of(TELLING)),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let (_, other) = dice.of(corpus);
                let from = dice.index(other.len() + 1);
                let to = other.len().min(from + 1 + dice.index(64));
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = dice.of(TELLING)),
        }
    }
    input.truncate(INPUT_MAX);
    input
}

#[test]
fn auth_header() {
    run("auth_header", 20_000);
}

#[test]
fn body_to_lines() {
    run("body_to_lines", 20_000);
}

#[test]
fn bucket_string() {
    run("bucket_string", 20_000);
}

#[test]
fn config() {
    run("config", 2_000);
}

#[test]
fn converter() {
    run("converter", 5_000);
}

#[test]
fn gzip() {
    run("gzip", 10_000);
}

#[test]
fn line_equals_serde() {
    run("line_equals_serde", 10_000);
}

#[test]
fn manifest() {
    run("manifest", 2_000);
}

#[test]
fn parquet() {
    run("parquet", 3_000);
}

#[test]
fn settings_document() {
    run("settings_document", 10_000);
}

#[test]
fn spool_frames() {
    run("spool_frames", 20_000);
}

#[test]
fn every_target_has_a_program_a_test_and_a_small_corpus() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let this = include_str!("mod.rs");
    let mut bytes = 0;
    for (target, _) in targets::TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"")),
            "{target}"
        );
        assert!(this.contains(&format!("run(\"{target}\", ")), "{target} is not tested");
        bytes += corpus(target).iter().map(|(_, input)| input.len() as u64).sum::<u64>();
    }
    assert!(bytes <= CORPUS_MAX, "the corpus has {bytes} bytes: `tests/fuzz --minimise`");
}

/// The programs reuse the crates built for the tests. That works only if both manifests give the same
/// dependencies.
#[test]
fn the_programs_are_built_from_the_same_crates_as_the_tests() {
    let read = |path: &str| fs::read_to_string(folder().join(path)).unwrap();
    let (ours, theirs) = (read("../Cargo.toml"), read("Cargo.toml"));
    let begun = ours.split("[dev-dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let of_others = |line: &&str| line.contains(" = ") && !line.starts_with("forebay = ");
    for line in begun.lines().filter(of_others) {
        assert!(theirs.contains(line), "fuzz/Cargo.toml lacks {line}");
    }
    let remedy = "copy Cargo.lock to fuzz/ and run `cargo metadata` there";
    let (our_lock, their_lock) = (read("../Cargo.lock"), read("Cargo.lock"));
    let own = packages(&their_lock).find(|package| package.starts_with("name = \"forebay\"\n")).unwrap();
    let listed: BTreeSet<&str> =
        own.lines().filter_map(|line| line.strip_prefix(" \"")?.split([' ', '"']).next()).collect();
    let wanted = ours.split("[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let wanted: BTreeSet<&str> = wanted.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    assert_eq!(listed, wanted, "fuzz/Cargo.lock has other dependencies: {remedy}");
    let alone = ["arbitrary", "forebay-fuzz", "libfuzzer-sys"];
    let ours: BTreeSet<&str> = packages(&our_lock).map(what).collect();
    for package in packages(&their_lock).map(what).filter(|package| !ours.contains(package)) {
        let known = alone.iter().any(|name| package.starts_with(&format!("name = \"{name}\"\n")));
        assert!(known, "differs from Cargo.lock: {package}\n{remedy}");
    }
}

fn packages(lock: &str) -> impl Iterator<Item = &str> {
    lock.split("[[package]]\n").skip(1)
}

/// Name, version and checksum of a locked package.
fn what(package: &str) -> &str {
    package.split("dependencies").next().unwrap().trim()
}
