//! Alarms reach people: a webhook is told when one is raised and when it is cleared.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::support::{CREDENTIALS, Caller, PATIENCE, Rig};
use crate::support::forebay::{command, finished};
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait;

/// Path and query of the webhook, of which nothing may be shown.
const SECRET_PATH: &str = "/hooks/path-secret-9917?token=query-secret-3350";

/// The bodies that were posted to it.
fn posted(webhook: &ScriptedHttp) -> Vec<Value> {
    webhook.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

async fn told(webhook: &ScriptedHttp, posts: usize) -> Vec<Value> {
    wait::until("the webhook to be told", PATIENCE, async || (posted(webhook).len() >= posts).then_some(()))
        .await;
    posted(webhook)
}

#[tokio::test]
async fn an_alarm_is_told_once_when_it_begins_and_once_when_it_ends() {
    // The first two posts fail.
    let answered = Arc::new(AtomicUsize::new(0));
    let webhook = ScriptedHttp::elsewhere({
        let answered = Arc::clone(&answered);
        move |_| Reply::status(if answered.fetch_add(1, Ordering::SeqCst) < 2 { 500 } else { 204 })
    })
    .await;
    let rig = Rig::start(&[]).await;
    let mut settings = rig.settings(&["web"]);
    settings.imports = format!("[alarm]\nwebhook = \"{}{SECRET_PATH}\"\n", webhook.url());
    let node = settings.serve().await;
    let mut caller = Caller::new();
    caller.send(&node, "web", 3, 10).await;
    let said = told(&webhook, 3).await;
    // Each try says the same of the same alarm.
    for post in &said {
        assert_eq!(post["event"], "alarm_raised", "{post}");
        assert_eq!((&post["kind"], &post["key"]), (&said[0]["kind"], &said[0]["key"]), "{post}");
    }
    assert_eq!(said[0]["kind"], "refused", "{said:?}");
    let text = said[2]["text"].as_str().unwrap();
    assert!(text.contains("NoSuchBucket") && text.contains("create the bucket"), "{text}");

    rig.bucket("lake").client.create_bucket().bucket("lake").send().await.unwrap();
    let said = told(&webhook, 4).await;
    assert_eq!(said[3]["event"], "alarm_cleared", "{said:?}");
    assert_eq!(said[3]["key"], said[2]["key"]);
    node.flush().await;
    let log = node.log();
    assert!(node.terminate().await.success());
    assert_eq!(posted(&webhook).len(), 4, "nothing else is told");
    assert!(!log.contains("secret-"), "{log}");
}

#[tokio::test]
async fn an_alarm_that_stands_after_a_restart_is_not_told_again() {
    let webhook = ScriptedHttp::elsewhere(|_| Reply::status(200)).await;
    let rig = Rig::start(&[]).await;
    let mut settings = rig.settings(&["web"]);
    settings.imports = format!("[alarm]\nwebhook = \"{}{SECRET_PATH}\"\n", webhook.url());
    let node = settings.serve().await;
    let mut caller = Caller::new();
    caller.send(&node, "web", 3, 10).await;
    told(&webhook, 1).await;
    let file = settings.spool_dir().join("told-alarms");
    wait::until("the notice to be noted", PATIENCE, async || file.exists().then_some(())).await;
    node.kill().await;
    let node = settings.serve().await;
    let stands = async || {
        let status = super::support::status(&node).await;
        status["alarms"].as_array().filter(|alarms| !alarms.is_empty()).map(drop)
    };
    wait::until("the alarm to stand again", PATIENCE, stands).await;
    // What is told of another alarm would come after the first one.
    assert_eq!(posted(&webhook).len(), 1);
    node.kill().await;

    // Without the file it is told once more, and the log says why.
    std::fs::write(&file, "damaged").unwrap();
    let node = settings.serve().await;
    assert_eq!(told(&webhook, 2).await[1]["event"], "alarm_raised");
    assert!(node.log().contains("what was told of alarms cannot be read"), "{}", node.log());
    node.kill().await;
}

#[tokio::test]
async fn a_test_is_sent_in_the_form_of_each_receiver() {
    let check = async |lines: &str, answer: u16| {
        let webhook = ScriptedHttp::elsewhere(move |_| Reply::status(answer)).await;
        let rig = Rig::start(&[]).await;
        let mut settings = rig.settings(&["web"]);
        settings.imports = format!("[alarm]\n{}\n", lines.replace("URL", &(webhook.url() + SECRET_PATH)));
        let mut command = command();
        command.args(["check", "--alarm-test", "--config"]).arg(settings.write()).envs(CREDENTIALS);
        let output = finished(&mut command).await;
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!said.contains("secret-"), "{said}");
        (output.status.code(), said, posted(&webhook))
    };
    let (code, said, posts) = check("webhook = \"URL\"", 200).await;
    assert_eq!((code, &posts[0]["event"]), (Some(0), &Value::from("alarm_test")), "{said}");
    let (code, said, posts) = check("webhook = \"URL\"\nform = \"slack\"", 200).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(posts[0]["text"].as_str().unwrap().contains("this is a test"), "{posts:?}");
    let (_, _, posts) = check("webhook = \"URL\"\nform = \"teams\"", 202).await;
    assert_eq!(posts[0]["attachments"][0]["contentType"], "application/vnd.microsoft.card.adaptive");
    let key = "routing_key = \"0123456789abcdef0123456789abcdef\"";
    let (code, said, posts) = check(&format!("webhook = \"URL\"\nform = \"pagerduty\"\n{key}"), 202).await;
    let actions: Vec<&str> = posts.iter().map(|post| post["event_action"].as_str().unwrap()).collect();
    assert_eq!((code, actions), (Some(0), vec!["trigger", "resolve"]), "{said}");

    let (code, said, _) = check("webhook = \"URL\"", 404).await;
    assert_eq!((code, said.contains("answered 404")), (Some(1), true), "{said}");
    let (code, said, _) = check("", 200).await;
    assert_eq!((code, said.contains("nobody is told of alarms")), (Some(1), true), "{said}");
    let (code, said, _) = check("form = \"pagerduty\"", 200).await;
    assert_eq!((code, said.contains("alarm.routing_key is not set")), (Some(2), true), "{said}");
}
