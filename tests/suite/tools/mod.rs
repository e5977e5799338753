//! `forebay spool …` on spools created by the library, by the program, and by earlier releases.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test helpers fail like tests: with a panic that names the line"
)]

mod damage;
mod dev;
mod drain;
mod every_file;
mod golden;
mod look;
mod made;
mod resolve;
mod rich;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::crash::copy;
use crate::support::forebay::binary;

/// The result of one run of the program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `forebay spool <command> <dir> <rest>`.
pub(crate) fn spool(command: &str, dir: &Path, rest: &[&str]) -> Ran {
    let mut program = Command::new(binary());
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FOREBAY_")) {
        program.env_remove(name);
    }
    let ran = program.args(["spool", command]).arg(dir).args(rest).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: ran.status.code(), out: text(ran.stdout), err: text(ran.stderr) }
}

/// The names of all files below a directory.
fn names(dir: &Path) -> Vec<String> {
    fn add(dir: &Path, under: &str, all: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{under}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                add(&entry.path(), &format!("{name}/"), all);
            } else {
                all.push(name);
            }
        }
    }
    let mut all = Vec::new();
    add(dir, "", &mut all);
    all
}

/// Every file below a directory that nobody changes, with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    names(dir).into_iter().map(|name| (name.clone(), fs::read(dir.join(name)).unwrap())).collect()
}
