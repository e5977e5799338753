//! Uses the printed policies on a server that evaluates them: creates the stack, assumes the role and puts
//! objects.

use std::process::Command;

use serde_json::{Value, json};

use super::printed::project;
use crate::support::tools::{Ministack, in_venv, stdout_of};

#[tokio::test]
async fn the_stacks_allow_only_what_forebay_sends() {
    let Some(python) = in_venv("python") else { return };
    let Some(ministack) = Ministack::start().await else { return };
    let mut command = Command::new(python);
    command.arg(project("tests/policies/stack.py")).arg(ministack.url()).arg(env!("CARGO_BIN_EXE_forebay"));
    command.current_dir(project("tests/policies"));
    let came: Value = serde_json::from_str(&stdout_of(command).await).unwrap();
    let denied = "AccessDenied";
    let puts = |sound: &str| {
        json!({
            "put logs/segment-logs/web/0/1.gz AES256": sound,
            "put logs/segment-logs/web/0/1.gz aws:kms": denied,
            "put logs/segment-logs/web/0/1.gz no header": denied,
            "put logs/other/1.gz AES256": denied,
            "put logs/other/1.gz aws:kms": denied,
            "put logs/other/1.gz no header": denied,
            "put segment-logs/web/0/1.gz AES256": denied,
            "put segment-logs/web/0/1.gz aws:kms": denied,
            "put segment-logs/web/0/1.gz no header": denied,
        })
    };
    let mut otherwise = puts("passes");
    otherwise["head bucket"] = json!("passes");
    otherwise["get"] = json!("passes");
    otherwise["delete"] = json!(denied);
    otherwise["delete a check"] = json!("passes");
    let expected = json!({
        "assume without the collector's policy": denied,
        "assume with web-1": "passes",
        "assume with ios-1": "passes",
        "assume with other": denied,
        "assume without an external id": denied,
        "over plain HTTP": puts(denied),
        "otherwise": otherwise,
        "the lifecycle rules are kept as they are": true,
        "the role of a destination": {
            "assume with web-1": "passes",
            "assume with ios-1": "passes",
            "assume with other": denied,
            "assume without an external id": denied,
        },
    });
    assert_eq!(came, expected);
}
