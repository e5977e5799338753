//! The page of jobs, followed from its text alone.

use std::path::Path;
use std::process::Command;

use super::support::{Stand, environment};
use crate::support::tools::{in_venv, stdout_of};

const PAGE: &str = include_str!("../../../docs/batch-operations.md");

/// A section of the page, by its heading.
fn section(heading: &str) -> &'static str {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    section.split_once("\n## ").unwrap().0
}

/// The code in Python of a section.
pub(super) fn python(heading: &str) -> Vec<&'static str> {
    section(heading).split("```python\n").skip(1).map(|code| code.split_once("```").unwrap().0).collect()
}

/// The commands of a section, one of them perhaps on several lines.
fn commands(heading: &str) -> Vec<&'static str> {
    section(heading).lines().filter_map(|line| line.strip_prefix("    ")).collect()
}

/// Runs commands in a shell, in the folder of the stand. What they print.
async fn printed(stand: &Stand, aws: &Path, state: &str, commands: &str) -> String {
    let forebay = crate::support::forebay::binary();
    let path = [forebay.parent().unwrap(), aws.parent().unwrap()].map(|folder| folder.display().to_string());
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(commands).current_dir(stand.folder.path()).envs(environment());
    let before = std::env::var_os("PATH").unwrap().into_string().unwrap();
    shell.env("PATH", format!("{}:{before}", path.join(":"))).env_remove("NO_PROXY").env_remove("no_proxy");
    shell.env("AWS_ENDPOINT_URL_S3", &stand.node.s3).env("FOREBAY_STATE", stand.path(state));
    stdout_of(shell).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_leads_from_nothing_to_a_report() {
    let Some(aws) = in_venv("aws") else { return };
    let stand = Stand::start().await;
    stand.file("f.py", python("Try it on this machine")[0]);
    // All commands but those that name the store of `dev`, which has another port here.
    let mut commands = commands("Try it on this machine");
    commands.retain(|line| ["echo", "forebay", "aws", "cat"].iter().any(|word| line.starts_with(word)));
    assert_eq!(commands.len(), 6, "{commands:#?}");
    let printed = printed(&stand, &aws, "state", &commands.join("\n")).await;
    for said in [
        "s3://forebay/manifest.csv: 2 objects, ETag ",
        "2 of 2: 2 succeeded, 0 failed",
        "forebay,photos/a%20cat.txt,,succeeded,200,,\"PHOTOS/A CAT.TXT\"",
        "forebay,photos/dog.txt,,succeeded,200,,\"PHOTOS/DOG.TXT\"",
    ] {
        assert!(printed.contains(said), "{said}:\n{printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_leads_to_a_job_by_the_api() {
    let Some(aws) = in_venv("aws") else { return };
    let mut commands = commands("The API");
    let dev = commands.remove(0);
    let function = dev.strip_prefix("forebay dev --function 'upper=cmd:python3 ").unwrap();
    assert_eq!(function, "f.py'");
    let arguments = |folder: &Path| {
        let program = folder.join("f.py").into_os_string().into_string().unwrap();
        vec!["--function".to_owned(), format!("upper=cmd:python3 {program}")]
    };
    let stand = Stand::with_jobs_of_dev(arguments).await;
    stand.file("f.py", self::python("Try it on this machine")[0]);
    for key in ["photos/a cat.txt", "photos/dog.txt"] {
        stand.put(key, "x").await;
    }
    let list =
        ["manifest", "--bucket", "forebay", "--prefix", "photos/", "--to", "s3://forebay/manifest.csv"];
    stand.run(&list).await.code(0);
    let commands = commands.join("\n");
    assert!(
        commands.contains("http://127.0.0.1:9000") && commands.contains("--state forebay-data"),
        "{commands}"
    );
    let commands = commands.replace("http://127.0.0.1:9000", &stand.node.s3).replace("forebay-data", "dev");
    let printed = printed(&stand, &aws, "elsewhere", &commands).await;
    for said in ["\"Operation\": {", "function:upper", "2 of 2: 2 succeeded, 0 failed"] {
        assert!(printed.contains(said), "{said}:\n{printed}");
    }
}
