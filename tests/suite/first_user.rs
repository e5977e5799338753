//! A person who has just installed Forebay: what they try, what goes wrong, and what they are told. Commands
//! and files are as they would write them, and each step begins where the one before ended.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do: by a panic that names the line")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::serve::support::{CREDENTIALS, PATIENCE, Rig, status};
use crate::support::forebay::{Forebay, command, finished};
use crate::support::http::Http;
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::tls_front::TlsFront;
use crate::support::wait;

/// A table as a German spreadsheet writes it: `Größe` in ISO-8859-1.
const KUNDEN: &[u8] = b"sep=;\r\nUserID;E-Mail;Datum;Gr\xf6\xdfe;\r\n7;a@example.com;25.11.2026 15:04;2;\r\n\
    8;b@example.com;13.07.2026 15:04;NA;\r\n9;c@example.com;25.10.2026 02:30;1;\r\n";

/// A person in a folder, beside a running node.
struct User<'a> {
    folder: &'a Path,
    node: &'a Forebay,
}

impl User<'_> {
    /// Types a line that begins with `forebay`, and reads what it says.
    async fn types(&self, line: &str) -> (i32, String) {
        self.types_with(line, &[]).await
    }

    /// The same with variables.
    async fn types_with(&self, line: &str, variables: &[(&str, &str)]) -> (i32, String) {
        let words = shlex::split(line).unwrap();
        let mut command = command();
        command.args(&words[1..]).current_dir(self.folder).env("HOME", self.folder).envs(CREDENTIALS);
        command.env("FOREBAY_STATE", self.folder.join("state")).env("FOREBAY_ADMIN_URL", &self.node.console);
        command.env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
        let output = finished(&mut command).await;
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), said)
    }

    /// Types a line that ends with this code, and finds each of these parts in what it says.
    async fn sees(&self, line: &str, code: i32, parts: &[&str]) -> String {
        let (ended, said) = self.types(line).await;
        assert_eq!(ended, code, "{line}: {said}");
        // Long texts are wrapped.
        let on_one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            let is_said = said.contains(part) || on_one_line.contains(part);
            assert!(is_said, "{line}: {part:?} is not in: {said}");
        }
        said
    }

    /// An SDK sends a call, and gets this status.
    async fn sends(&self, path: &str, key: &str, status: u16) {
        let call =
            json!({ "type": "track", "event": "Order Completed", "userId": "42", "messageId": "m-42" });
        let url = format!("{}{path}?writeKey={key}", self.node.collector);
        let answer = Http::new().post(&url, json!({ "batch": [call] }).to_string()).await.unwrap();
        assert_eq!(answer.status, status);
    }
}

/// Points 1, 2, 5 and 7 to 12 of issue 44, in its order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_user_is_told_what_happens_and_what_to_do() {
    let slack = ScriptedHttp::elsewhere(|_| Reply::status(200)).await;
    // Nobody made the bucket.
    let rig = Rig::start(&[]).await;
    let mut settings = rig.settings(&["checkout-web"]);
    settings.imports = format!("[alarm]\nwebhook = \"{}/services/T0/B0\"\nform = \"slack\"\n", slack.url());
    let node = settings.serve().await;
    let user = User { folder: rig.folder.path(), node: &node };

    refused_requests(&user).await;
    where_a_call_is(&user, &rig, &slack).await;
    a_german_table(&user).await;
    a_check(&user, &slack).await;
    a_proxy_with_tls(&user).await;
    mistakes(&user, &settings.write().display().to_string()).await;
    what_is_printed_works(&user).await;
    user.sees(
        "forebay tail --source chekout-web",
        1,
        &["has no source chekout-web: did you mean checkout-web?"],
    )
    .await;
    assert!(node.terminate().await.success());
}

/// 1: nothing arrives: a wrong key, and a wrong path.
async fn refused_requests(user: &User<'_>) {
    user.sends("/v1/batch", "checkout-web-kye", 401).await;
    // The id of the source is none of its keys.
    user.sends("/v1/batch", "checkout-web", 401).await;
    user.sends("/v1/trak", "checkout-web-key", 404).await;
    let parts = [
        "with 401 unknown_write_key, POST /v1/batch, key ch",
        "with 401 source_id_as_key, POST /v1/batch, source checkout-web, key che…, ",
        "To change: the key is the id of this source, and its write keys are others",
        "with 404 not_found, POST /v1/trak",
        "the nearest is /v1/track. To change: ",
    ];
    user.sees("forebay status", 0, &parts).await;
}

/// 2 and 5: a call waits because the bucket is missing; Slack hears of it, and then that it is there.
async fn where_a_call_is(user: &User<'_>, rig: &Rig, slack: &ScriptedHttp) {
    user.sends("/v1/batch", "checkout-web-key", 200).await;
    user.sees("forebay find --user-id 42", 0, &["track, Order Completed, messageId m-42", "in the spool"])
        .await;
    user.sees("forebay find --user-id 43", 1, &["no such call was found", "unknown_write_key"]).await;
    let said = |slack: &ScriptedHttp| -> Vec<String> {
        let text = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["text"].to_string();
        slack.requests().iter().map(|request| text(&request.body)).collect()
    };
    let told = async |count: usize| {
        wait::until("Slack to be told", PATIENCE, async || {
            Some(said(slack)).filter(|said| said.len() >= count)
        })
        .await
    };
    let raised = told(1).await;
    assert!(raised[0].contains("NoSuchBucket") && raised[0].contains("create the bucket"), "{raised:?}");
    rig.bucket("lake").client.create_bucket().bucket("lake").send().await.unwrap();
    assert_eq!(told(2).await.len(), 2, "once each");
    user.node.flush().await;
    wait::until("the object in the list of deliveries", PATIENCE, async || {
        let found = user.types("forebay find --message-id m-42").await.1;
        found.contains(": line 1 of s3://lake/segment-logs/checkout-web/").then_some(())
    })
    .await;
    let status = status(user.node).await;
    assert_eq!(status["alarms"], json!([]), "{status}");
}

/// 7: a table from a spreadsheet, by what the trial says.
async fn a_german_table(user: &User<'_>) {
    fs::write(user.folder.join("kunden.csv"), KUNDEN).unwrap();
    let import = "forebay import csv kunden.csv --source checkout-web --type identify";
    user.sees(&format!("{import} --dry-run"), 1, &["--encoding windows-1252"]).await;
    let import = format!("{import} --encoding windows-1252 --map E-Mail=traits.email --map Datum=timestamp");
    let doubts = ["pass --date-format 'Datum=DD.MM.YYYY HH:mm'", "say --null NA if they mean nothing"];
    user.sees(&format!("{import} --dry-run"), 3, &doubts).await;
    let all = format!(
        "{import} --map größe=traits.size --types infer --null NA --date-format 'Datum=DD.MM.YYYY HH:mm Europe/Berlin'"
    );
    // At half past two in that night the clocks of Berlin were set back.
    user.sees(
        &all,
        3,
        &["2 identify", "rejected: 1 of kunden.csv", "run `forebay import retry-rejects FILE`"],
    )
    .await;
}

/// 8: the check of the running node, and of a file in CI.
async fn a_check(user: &User<'_>, slack: &ScriptedHttp) {
    // It listens at any free port, so the file does not say that this is its node.
    let parts =
        [" passed, 0 failed", "(forebay serve) uses ", "stop that process first if it is the node of this"];
    user.sees("forebay check", 0, &parts).await;
    user.sees("forebay check --offline", 0, &["it is valid: 1 source", "not tested: credentials"]).await;
    let before = slack.requests().len();
    user.sees("forebay check --alarm-test", 0, &[]).await;
    assert_eq!(slack.requests().len(), before + 1);
}

/// 9: the admin listener behind a proxy with TLS.
async fn a_proxy_with_tls(user: &User<'_>) {
    let front = TlsFront::start(&user.node.console).await;
    let line = format!("forebay status --admin {}", front.url);
    user.sees(&line, 1, &["no TLS connection can be made", "SSL_CERT_FILE"]).await;
    let (code, said) = user.types_with(&line, &[("SSL_CERT_FILE", front.authority.to_str().unwrap())]).await;
    assert_eq!((code, said.contains("\ncheckout-web ")), (0, true), "{said}");
}

/// 10: a handful of mistakes in the configuration, each with what mends it.
async fn mistakes(user: &User<'_>, file: &str) {
    let sound = fs::read_to_string(file).unwrap();
    let store = sound.lines().find(|line| line.starts_with("endpoint_url")).unwrap().to_owned();
    let tls = TlsFront::start(&user.node.console).await;
    let port = tls.url.rsplit(':').next().unwrap();
    let https = store.replace("http://", "https://");
    let changed: [(&str, String, i32, &[&str]); 6] = [
        (&store, https, 1, &["begin s3.endpoint_url with http://"]),
        (
            &store,
            format!("endpoint_url = \"http://localhost:{port}\""),
            1,
            &["begin s3.endpoint_url with https://"],
        ),
        (
            &store,
            format!("endpoint_url = \"{}\"", user.node.console),
            1,
            &["is an address of Forebay itself"],
        ),
        (
            &store,
            "endpoint_url = \"http://no-such-host.invalid:9000\"".to_owned(),
            1,
            &["no-such-host.invalid"],
        ),
        ("path_style", "path_stile".to_owned(), 2, &["path_stile", "path_style"]),
        ("[[source]]", "[[sorce]]".to_owned(), 2, &["sorce", "source"]),
    ];
    for (right, wrong, code, parts) in changed {
        fs::write(user.folder.join("wrong.toml"), sound.replace(right, &wrong)).unwrap();
        user.sees("forebay check --timeout 2s --config wrong.toml", code, parts).await;
    }
    user.sees("forebay check --config forebay.tml", 2, &["forebay.tml"]).await;
}

/// 11: commands that other commands printed.
async fn what_is_printed_works(user: &User<'_>) {
    let list = user.sees("forebay import list", 0, &["  retry:    forebay import retry-rejects "]).await;
    let retry = list.lines().find_map(|line| line.split_once("retry:")).unwrap().1.trim().to_owned();
    user.sees(&retry, 3, &["rejected: 1"]).await;
    user.sees("forebay verify lake --config forebay.toml", 0, &["sound: "]).await;
}
