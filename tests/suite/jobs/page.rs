//! The page of jobs, followed from its text alone.

use std::process::Command;

use super::support::{Stand, environment};
use crate::support::tools::{in_venv, stdout_of};

const PAGE: &str = include_str!("../../../docs/batch-operations.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_leads_from_nothing_to_a_report() {
    let Some(aws) = in_venv("aws") else { return };
    let stand = Stand::start().await;
    let (_, section) = PAGE.split_once("## Try it on this machine").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let (_, python) = section.split_once("```python\n").unwrap();
    stand.file("f.py", python.split_once("```").unwrap().0);
    // All commands but those that name the store of `dev`, which has another port here.
    let commands: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| ["echo", "forebay", "aws", "cat"].iter().any(|word| line.starts_with(word)))
        .collect();
    assert_eq!(commands.len(), 6, "{commands:#?}");
    let forebay = crate::support::forebay::binary();
    let path = [forebay.parent().unwrap(), aws.parent().unwrap()].map(|folder| folder.display().to_string());
    let mut shell = Command::new("sh");
    shell.arg("-ec").arg(commands.join("\n")).current_dir(stand.folder.path()).envs(environment());
    let before = std::env::var_os("PATH").unwrap().into_string().unwrap();
    shell.env("PATH", format!("{}:{before}", path.join(":")));
    shell.env("AWS_ENDPOINT_URL_S3", &stand.node.s3).env("FOREBAY_STATE", stand.path("state"));
    let printed = stdout_of(shell).await;
    for said in [
        "s3://forebay/manifest.csv: 2 objects, ETag ",
        "2 of 2: 2 succeeded, 0 failed",
        "forebay,photos/a%20cat.txt,,succeeded,200,,\"PHOTOS/A CAT.TXT\"",
        "forebay,photos/dog.txt,,succeeded,200,,\"PHOTOS/DOG.TXT\"",
    ] {
        assert!(printed.contains(said), "{said}:\n{printed}");
    }
}
