//! Functions in Python, Node and Rust, run by an emulator of AWS Lambda: each gets the calls of its type.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::serve::support::{Caller, PATIENCE, Rig, ask};
use crate::support::forebay::{Forebay, without_settings};
use crate::support::http::is_accepted;
use crate::support::lambda_emulator::Emulator;
use crate::support::tools::{on_path, require};
use crate::support::wait;

/// Call types, each with the function that gets it.
const FUNCTIONS: [(&str, &str); 3] =
    [("track", "on-track"), ("identify", "on-identify"), ("page", "on-page")];
/// Calls of each type.
const CALLS: usize = 20;
/// The track call whose handler throws, the first time that it gets it.
const THROWN: &str = "track-7";

fn arn(function: &str) -> String {
    format!("arn:aws:lambda:eu-west-1:000000000000:function:{function}")
}

/// A function that runs, and the file in which it writes what it gets.
struct Running {
    _child: Child,
    file: PathBuf,
}

impl Running {
    fn start(api: &str, folder: &Path, name: &str, program: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let file = folder.join(format!("{name}.ndjson"));
        let mut command = without_settings(Command::new(program));
        command.args(arguments).current_dir(functions()).env("SEEN", &file);
        command.env("AWS_LAMBDA_RUNTIME_API", format!("{api}/.rt/{name}"));
        command.envs([
            ("AWS_LAMBDA_FUNCTION_NAME", name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        Self { _child: command.spawn().unwrap(), file }
    }

    /// What it got: by messageId, the calls with their contexts, in order.
    fn seen(&self) -> BTreeMap<String, Vec<Value>> {
        let mut seen = BTreeMap::<String, Vec<Value>>::new();
        for line in std::fs::read_to_string(&self.file).unwrap().lines() {
            let one: Value = serde_json::from_str(line).unwrap();
            seen.entry(one["call"]["messageId"].as_str().unwrap().to_owned()).or_default().push(one);
        }
        seen
    }
}

/// The folder of the functions.
fn functions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions")
}

/// The function in Rust.
fn on_page() -> PathBuf {
    let file = Path::new(env!("CARGO_BIN_EXE_forebay")).with_file_name("examples").join("on_page");
    assert!(file.exists(), "{} is missing: `cargo build --example on_page` builds it", file.display());
    file
}

async fn shown(forebay: &Forebay, path: &str) -> Value {
    serde_json::from_slice(&ask(forebay, path).await.body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_in_python_node_and_rust_get_the_calls_of_their_types() {
    let (Some(python), Some(node)) = (require("lambda/bin/python"), on_path("node")) else { return };
    let Some(emulator) = Emulator::start(&FUNCTIONS.map(|(_, name)| name)).await else { return };
    let rig = Rig::start(&["lake"]).await;
    let aws = emulator.as_in_aws().await.to_string();
    let start = |api: &str, name, program: PathBuf, arguments: &[&str]| {
        Running::start(api, rig.folder.path(), name, program, arguments)
    };
    let running = [
        start(&aws, "on-track", python, &["-m", "awslambdaric", "on_track.handler"]),
        start(&aws, "on-identify", node, &["on_identify.mjs"]),
        start(&format!("http://{aws}"), "on-page", on_page(), &[]),
    ];
    let mut settings = rig.settings(&["web"]);
    let named = FUNCTIONS.map(|(kind, name)| format!("{kind} = \"{}\"", arn(name))).join(", ");
    let destination = format!(
        "\n[[destination]]\nname = \"crm\"\ntype = \"lambda\"\nendpoint_url = \"http://{aws}\"\ntimeout = \"60 s\"\n\
         functions = {{ {named} }}\n"
    );
    settings.sources.last_mut().unwrap().1.push_str(&destination);
    let forebay = settings.serve().await;

    let mut sent = Vec::new();
    for kind in ["track", "identify", "page", "screen"] {
        sent.extend((0..CALLS).map(|call| {
            let id = format!("{kind}-{call}");
            let event = if id == THROWN { "Throws once" } else { "Signed up" };
            json!({ "type": kind, "event": event, "name": "Größe \"1\"", "userId": "u", "messageId": id,
                "properties": { "n": call, "price": 1.5, "none": null } })
        }));
    }
    let body = json!({ "batch": sent }).to_string();
    let answer = Caller::new().post(&forebay, "web", body).await.unwrap();
    assert!(is_accepted(&answer), "{answer:?}");
    wait::until("every function to finish", PATIENCE, async || {
        let one = shown(&forebay, "/api/destinations/crm").await;
        one["functions"].as_array().unwrap().iter().all(|one| one["behind"] == 0).then_some(())
    })
    .await;
    forebay.flush().await;

    let mut stored = BTreeMap::new();
    for line in rig.bucket("lake").lines("web").await {
        let line: Value = serde_json::from_str(&line).unwrap();
        let id = line["messageId"].as_str().unwrap().to_owned();
        assert_eq!(stored.insert(id.clone(), line), None, "{id} is stored twice");
    }
    assert_eq!(stored.len(), sent.len());
    for ((kind, name), running) in FUNCTIONS.iter().zip(&running) {
        let seen = running.seen();
        assert_eq!(seen.len(), CALLS, "{name}: {:?}\n{}", seen.keys(), forebay.log());
        for (id, times) in seen {
            assert_eq!(times.len(), if id == THROWN { 2 } else { 1 }, "{name} got {id}: {times:?}");
            for (attempt, one) in (1..).zip(times) {
                assert_eq!((&one["call"], &one["call"]["type"]), (&stored[&id], &json!(kind)), "{name}");
                let custom =
                    json!({ "sourceId": "web", "destination": "crm", "attempt": attempt.to_string() });
                assert_eq!(one["custom"], custom, "{name}");
                assert!(one["request"].as_str().is_some_and(|id| !id.is_empty()), "{name}: {one}");
            }
        }
    }

    // The emulator answers an error of a handler with a bare 500.
    let failed = shown(&forebay, "/api/destinations/crm/deliveries?class=unavailable").await;
    let failed = failed["attempts"].as_array().unwrap();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!((&failed[0]["message_id"], &failed[0]["attempt"]), (&json!(THROWN), &json!(1)));
    assert!(failed[0]["failed"]["what"].as_str().unwrap().contains("500"), "{failed:?}");
    let one = shown(&forebay, "/api/destinations/crm").await;
    assert_eq!((&one["succeeded"], &one["dead"]), (&json!(3 * CALLS), &json!([])), "{one:#}");
}
