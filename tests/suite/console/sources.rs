//! The sources of the page: their types, and the unit tests of what is pure.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::tools::{on_path, require, run};

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// The page in a folder beside its packages, where its tools look for them.
fn page_with(packages: &Path, folder: &Path) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/console/page");
    for entry in fs::read_dir(page).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), folder.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            // Whoever works on the page has packages of their own there.
            true if entry.file_name() == "node_modules" => {}
            true => copy(&path, &to),
            false => _ = fs::copy(&path, &to).unwrap(),
        }
    }
    symlink(packages, folder.join("node_modules")).unwrap();
}

async fn passes(script: &str) {
    let (Some(npm), Some(packages)) = (on_path("npm"), require("console/node_modules")) else { return };
    let folder = tempfile::tempdir().unwrap();
    page_with(&packages, folder.path());
    let mut command = Command::new(npm);
    command.args(["run", "--silent", script]).current_dir(folder.path());
    let done = run(command).await;
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(done.status.success(), "npm run {script}:\n{}", said.join("\n"));
    assert!(script != "test" || said[0].contains("# fail 0"), "{said:?}");
}

#[tokio::test]
async fn the_types_of_the_page_fit() {
    passes("check").await;
}

#[tokio::test]
async fn the_unit_tests_of_the_page_pass() {
    passes("test").await;
}
