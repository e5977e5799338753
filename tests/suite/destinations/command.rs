//! `forebay destinations test`: the real program against a loopback server that speaks the documented form of
//! Lambda's `Invoke`, the token service of ministack, and a handler in Python.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::aws_tool::Identity;
use crate::support::forebay::{command, finished};
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};
use crate::support::tools::{Ministack, in_venv, run};

pub(super) const TRACK: &str = "arn:aws:lambda:eu-west-1:000000000000:function:on-track:live";
const IDENTIFY: &str = "arn:aws:lambda:eu-west-1:000000000000:function:on-identify";
const FORBIDDEN: &str = "arn:aws:lambda:eu-west-1:000000000000:function:forbidden";
const FOREIGN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:forbidden:7";
const MISSING: &str = "arn:aws:lambda:eu-west-1:000000000000:function:missing";
/// The end of the log of the function that fails.
const LOG: &str = "START RequestId: r-1\n[ERROR] KeyError: 'traits'\nEND RequestId: r-1\n";
/// What it answers.
const ERROR: &str = r#"{"errorType":"KeyError","errorMessage":"'traits'"}"#;
const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "test-secret-key")];
/// How long a handler may take to start.
const HANDLER_START: Duration = Duration::from_secs(30);

/// The function that a request names.
fn function_of(request: &Request) -> String {
    let path = percent_encoding::percent_decode_str(&request.target).decode_utf8_lossy().into_owned();
    let name = path.strip_prefix("/2015-03-31/functions/").and_then(|rest| rest.strip_suffix("/invocations"));
    name.unwrap_or_else(|| panic!("not the path of an invocation: {path}")).to_owned()
}

fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer { status, headers: Vec::new(), body: body.to_owned() }
}

/// AWS Lambda, as its API reference documents `Invoke`.
pub(super) fn lambda(request: &Request) -> Reply {
    let refused = |status: u16, code: &str| {
        answer(status, r#"{"Message":"scripted"}"#)
            .with("x-amzn-errortype", code)
            .with("x-amzn-requestid", "r-0")
    };
    let function = function_of(request);
    let ended = match request.header("x-amz-invocation-type") {
        _ if function.contains("forbidden") => return refused(403, "AccessDeniedException"),
        _ if function == MISSING => return refused(404, "ResourceNotFoundException"),
        Some("DryRun") => answer(204, ""),
        Some("Event") => answer(202, ""),
        _ if function == IDENTIFY => answer(200, ERROR).with("x-amz-function-error", "Unhandled"),
        _ => answer(200, "null"),
    };
    let ended = match request.header("x-amz-log-type") {
        Some("Tail") => ended.with("x-amz-log-result", &STANDARD.encode(LOG)),
        _ => ended,
    };
    ended.with("x-amz-executed-version", "7").with("x-amzn-requestid", "r-1")
}

/// The invocation types of the requests, with their functions.
fn invoked(server: &ScriptedHttp) -> Vec<(String, String)> {
    let one = |request: &Request| {
        (request.header("x-amz-invocation-type").unwrap_or_default().to_owned(), function_of(request))
    };
    server.requests().iter().map(one).collect()
}

/// A folder with a configuration.
pub(super) struct Setup {
    folder: TempDir,
    pub(super) file: PathBuf,
}

impl Setup {
    /// A configuration of `serve` with the sources `web` and `ios`, and a destination with these lines.
    pub(super) fn serve(s3: &str, destination: &str) -> Self {
        let setup = Self::dev(destination);
        let sources =
            ["web", "ios"].map(|id| format!("[[source]]\nid = \"{id}\"\nwrite_keys = [\"{id}-key\"]\n"));
        let text = format!(
            "[spool]\ndir = \"{}\"\n[s3]\nbucket = \"events\"\nregion = \"us-east-1\"\n{s3}\n{}{}",
            setup.folder.path().join("spool").display(),
            sources.concat(),
            fs::read_to_string(&setup.file).unwrap(),
        );
        fs::write(&setup.file, text).unwrap();
        setup
    }

    /// A file with nothing but a destination, as `dev --config` takes it.
    fn dev(destination: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("forebay.toml");
        fs::write(&file, format!("[[destination]]\nname = \"crm\"\n{destination}\n")).unwrap();
        Self { folder, file }
    }

    /// A destination whose functions are at this server.
    fn lambda(server: &ScriptedHttp, lines: &str) -> Self {
        Self::serve("", &lambda_lines(&server.url(), lines))
    }

    /// Writes a file beside the configuration, and returns its path.
    fn beside(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn output(&self, arguments: &[&str], credentials: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = command();
        command.args(["destinations", "test", "crm", "--config"]).arg(&self.file).args(arguments);
        for name in ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"] {
            command.env_remove(name);
        }
        let nowhere = self.folder.path().join("nowhere");
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", &nowhere).env("AWS_SHARED_CREDENTIALS_FILE", &nowhere);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        let output = finished(command.envs(credentials.iter().copied())).await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs the test with credentials, and reads its findings.
    async fn test(&self, arguments: &[&str]) -> Ran {
        self.test_as(arguments, &KEYS).await
    }

    async fn test_as(&self, arguments: &[&str], credentials: &[(&str, &str)]) -> Ran {
        let (code, stdout, stderr) = self.output(&[arguments, &["--json"]].concat(), credentials).await;
        let json: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}\n{stdout}{stderr}"));
        assert_eq!(code, i32::from(json["summary"]["failed"] != 0), "{stdout}{stderr}");
        assert!(!self.folder.path().join("spool").exists(), "a spool was created");
        for (_, secret) in credentials.iter().filter(|(name, _)| *name == "AWS_SECRET_ACCESS_KEY") {
            assert!(!format!("{stdout}{stderr}").contains(secret), "the secret key is shown");
        }
        Ran { code, json }
    }
}

pub(super) fn lambda_lines(url: &str, lines: &str) -> String {
    format!("type = \"lambda\"\nendpoint_url = \"{url}\"\n{lines}")
}

/// The findings of a run.
struct Ran {
    code: i32,
    json: Value,
}

impl Ran {
    /// The finding of a check that tried something with this word.
    fn of(&self, check: &str, word: &str) -> &Value {
        let findings = self.json["findings"].as_array().unwrap();
        let mut all = findings
            .iter()
            .filter(|one| one["check"] == check && one["tried"].as_str().unwrap().contains(word));
        let found = all.next().unwrap_or_else(|| panic!("no finding {check} with {word} in {:#}", self.json));
        assert!(all.next().is_none(), "several findings {check} with {word} in {:#}", self.json);
        found
    }

    /// The names and outcomes of all findings, in order.
    fn outcomes(&self) -> Vec<(&str, &str)> {
        let findings = self.json["findings"].as_array().unwrap();
        findings
            .iter()
            .map(|one| (one["check"].as_str().unwrap(), one["outcome"].as_str().unwrap()))
            .collect()
    }
}

/// Asserts the outcome of a finding, and words in what was found.
fn expect(finding: &Value, outcome: &str, words: &[&str]) {
    assert_eq!(finding["outcome"], outcome, "{finding:#}");
    let found = finding["found"].as_str().unwrap();
    for word in words {
        assert!(found.contains(word), "{word:?} is missing in {found}");
    }
    let has_remedy = finding["remedies"].as_array().is_some_and(|all| !all.is_empty());
    assert_eq!(has_remedy, matches!(outcome, "failed" | "warning"), "{finding:#}");
}

/// The text to paste of the remedy with this word.
fn paste<'a>(finding: &'a Value, word: &str) -> &'a str {
    let remedies = finding["remedies"].as_array().unwrap();
    let remedy = remedies.iter().find(|remedy| remedy["text"].as_str().unwrap().contains(word));
    let remedy = remedy.unwrap_or_else(|| panic!("no remedy with {word:?} in {finding:#}"));
    remedy["paste"].as_str().unwrap_or_else(|| panic!("nothing to paste in {remedy}"))
}

fn two_functions() -> String {
    format!("functions = {{ track = \"{TRACK}\", identify = \"{IDENTIFY}\" }}")
}

#[tokio::test]
async fn without_run_no_function_runs() {
    let server = ScriptedHttp::elsewhere(lambda).await;
    let ran = Setup::lambda(&server, &two_functions()).test(&[]).await;
    assert_eq!(ran.outcomes(), [("credentials", "passed"), ("dry_run", "passed"), ("dry_run", "passed")]);
    expect(ran.of("credentials", ""), "passed", &["AKIATEST", "the environment"]);
    expect(ran.of("dry_run", TRACK), "passed", &["204"]);
    assert_eq!(ran.of("dry_run", TRACK)["sources"], json!(["web"]));
    let dry = |function: &str| ("DryRun".to_owned(), function.to_owned());
    assert_eq!(invoked(&server), [dry(TRACK), dry(IDENTIFY)]);
}

#[tokio::test]
async fn with_run_each_function_gets_one_stored_line() {
    let server = ScriptedHttp::elsewhere(lambda).await;
    let setup = Setup::lambda(&server, &two_functions());
    let ran = setup.test(&["--run", "--source", "ios"]).await;
    assert_eq!(ran.code, 1);
    expect(
        ran.of("call", TRACK),
        "passed",
        &["the track call forebay-test-", "request r-1", "version 7", " ms"],
    );
    let failed = ran.of("call", IDENTIFY);
    expect(failed, "failed", &["Execution Error: KeyError: 'traits'", "request r-1", "version 7"]);
    assert_eq!(failed["log"], json!(LOG.lines().collect::<Vec<_>>()));
    assert!(failed["remedies"][0]["text"].as_str().unwrap().contains("tail of its log"), "{failed:#}");

    let sent = server.requests();
    let sent: Vec<&Request> =
        sent.iter().filter(|one| one.header("x-amz-invocation-type") == Some("RequestResponse")).collect();
    assert_eq!(sent.len(), 2);
    let line: Value = serde_json::from_slice(&sent[0].body).unwrap();
    assert_eq!(
        (&line["type"], &line["projectId"], &line["channel"]),
        (&json!("track"), &json!("ios"), &json!("server"))
    );
    assert!(line["messageId"].as_str().unwrap().starts_with("forebay-test-"), "{line}");
    assert!(ran.of("call", TRACK)["found"].as_str().unwrap().contains(line["messageId"].as_str().unwrap()));
    for time in ["receivedAt", "timestamp", "originalTimestamp", "sentAt"] {
        assert!(
            chrono::DateTime::parse_from_rfc3339(line[time].as_str().unwrap()).is_ok(),
            "{time} in {line}"
        );
    }
    let context = STANDARD.decode(sent[0].header("x-amz-client-context").unwrap()).unwrap();
    let context: Value = serde_json::from_slice(&context).unwrap();
    assert_eq!(context["custom"], json!({ "sourceId": "ios", "destination": "crm", "attempt": "1" }));

    // The same for people.
    let (code, stdout, stderr) = setup.output(&["--run", "--type", "identify"], &KEYS).await;
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stdout.contains(&format!("\n{IDENTIFY} for identify\n")), "{stdout}");
    assert!(
        stdout.contains("  ✗ call                      Execution Error: KeyError: 'traits' ("),
        "{stdout}"
    );
    assert!(stdout.contains("\n      | [ERROR] KeyError: 'traits'\n"), "{stdout}");
    assert!(stdout.ends_with("\n2 passed, 1 failed\n"), "{stdout}");
    assert!(stderr.ends_with("\nforebay: 1 test of crm failed\n"), "{stderr}");
}

#[tokio::test]
async fn a_batch_and_a_queued_call_are_sent_as_in_production() {
    let server = ScriptedHttp::elsewhere(lambda).await;
    let one = format!("function = \"{TRACK}\"\n");
    let batch = Setup::lambda(&server, &format!("{one}mode = \"batch\"")).test(&["--run"]).await;
    assert_eq!(batch.outcomes(), [("credentials", "passed"), ("dry_run", "passed"), ("call", "passed")]);
    let body: Value = serde_json::from_slice(&server.requests().last().unwrap().body).unwrap();
    assert_eq!(body.as_array().map(Vec::len), Some(1), "{body}");
    let queued = Setup::lambda(&server, &format!("{one}invocation = \"Event\"")).test(&["--run"]).await;
    expect(queued.of("call", TRACK), "passed", &["AWS queued", "only in its log"]);
    assert_eq!(server.requests().last().unwrap().header("x-amz-log-type"), None);

    let refusing = ScriptedHttp::elsewhere(|request| match request.header("x-amz-invocation-type") {
        Some("DryRun") => answer(204, ""),
        _ => {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            answer(
                200,
                &json!({ "batchItemFailures": [{ "itemIdentifier": body[0]["messageId"] }] }).to_string(),
            )
        }
    })
    .await;
    let refused = Setup::lambda(&refusing, &format!("{one}mode = \"batch\"")).test(&["--run"]).await;
    expect(refused.of("call", TRACK), "failed", &["batchItemFailures"]);
}

#[tokio::test]
async fn each_failure_is_followed_by_what_fixes_it() {
    let server = ScriptedHttp::elsewhere(lambda).await;
    let lines = format!(
        "function = \"{FORBIDDEN}\"\nfunctions = {{ track = \"{FOREIGN}\", page = \"{MISSING}\" }}\n"
    );
    let role = "role_arn = \"arn:aws:iam::000000000000:role/invoker\"";
    let ran = Setup::lambda(&server, &lines).test(&["--run"]).await;
    let denied = ran.of("dry_run", FORBIDDEN);
    expect(denied, "failed", &["Accessdenied: 403 AccessDeniedException: scripted"]);
    let statement: Value = serde_json::from_str(paste(denied, "lambda-destination-invoke")).unwrap();
    assert_eq!(
        statement,
        json!({
            "Sid": "ForebayInvokes", "Effect": "Allow", "Action": "lambda:InvokeFunction",
            "Resource": [FORBIDDEN, MISSING, FOREIGN],
        })
    );
    expect(ran.of("dry_run", MISSING), "failed", &["Function Not Found: 404 ResourceNotFoundException"]);
    expect(ran.of("call", MISSING), "not_tested", &["the dry run failed"]);
    assert!(invoked(&server).iter().all(|(kind, _)| kind == "DryRun"), "{:?}", invoked(&server));

    // Without credentials nothing is asked.
    let before = server.requests().len();
    let nobody =
        Setup::lambda(&server, &format!("{lines}{role}")).test_as(&["--run", "--type", "page"], &[]).await;
    expect(nobody.of("credentials", ""), "failed", &["none found"]);
    for check in ["role", "role_without_external_id", "dry_run", "call"] {
        expect(nobody.of(check, ""), "not_tested", &["there are no credentials"]);
    }
    assert_eq!(server.requests().len(), before);

    // An endpoint that runs the function although it was only asked whether it may.
    let deaf = ScriptedHttp::elsewhere(|_| answer(200, "null")).await;
    let ran = Setup::lambda(&deaf, &format!("function = \"{TRACK}\"")).test(&[]).await;
    expect(ran.of("dry_run", TRACK), "warning", &["200 instead of 204"]);
    assert_eq!(ran.code, 0);
    let away = Setup::serve("", &lambda_lines("http://127.0.0.1:1", &format!("function = \"{TRACK}\"")))
        .test(&[])
        .await;
    expect(away.of("dry_run", TRACK), "failed", &["Network Error"]);
}

#[tokio::test]
async fn the_call_of_a_file_is_sent_to_the_function_of_its_type() {
    let server = ScriptedHttp::elsewhere(lambda).await;
    let setup = Setup::lambda(&server, &two_functions());
    let file =
        setup.beside("order.json", "{\n \"type\": \"track\",\n \"messageId\": \"m-1\", \"n\": 1.50\n}\n");
    let ran = setup.test(&["--run", "--event", &file]).await;
    assert_eq!(ran.outcomes(), [("credentials", "passed"), ("dry_run", "passed"), ("call", "passed")]);
    expect(ran.of("call", TRACK), "passed", &["the track call m-1"]);
    assert_eq!(server.requests().last().unwrap().body, br#"{"type":"track","messageId":"m-1","n":1.50}"#);

    let nameless = setup.beside("nameless.json", r#"{"userId":"u1"}"#);
    setup.test(&["--run", "--event", &nameless, "--type", "track"]).await;
    let body: Value = serde_json::from_slice(&server.requests().last().unwrap().body).unwrap();
    assert!(body["messageId"].as_str().unwrap().starts_with("forebay-test-"), "{body}");
    assert_eq!(body["userId"], "u1");

    let before = server.requests().len();
    let excluded = setup.beside("excluded.json", r#"{"type":"track","integrations":{"AWS Lambda":false}}"#);
    let ran = setup.test(&["--run", "--event", &excluded]).await;
    expect(ran.of("call", TRACK), "not_tested", &["integrations"]);
    assert_eq!(server.requests().len(), before + 1, "only the dry run");
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2_and_nothing_is_asked() {
    let server = ScriptedHttp::elsewhere(lambda).await;
    let setup = Setup::lambda(&server, &format!("{}\nsources = [\"ios\"]", two_functions()));
    let file = |name: &str, text: &str| setup.beside(name, text);
    let (list, page, odd, number) = (
        file("list.json", "[]"),
        file("page.json", r#"{"type":"page"}"#),
        file("odd.json", r#"{"userId":"u1"}"#),
        file("number.json", r#"{"type":"track","messageId":7}"#),
    );
    let none = setup.folder.path().join("none.json").display().to_string();
    let cases: [(&[&str], &str); 10] = [
        (&["--source", "android"], "no source android"),
        (&["--source", "web"], "takes no calls of the source web"),
        (&["--type", "page"], "no function for page calls"),
        (&["--type", "odd"], "invalid value 'odd'"),
        (&["--event", &odd], "--run"),
        (&["--run", "--event", &none], "cannot be read"),
        (&["--run", "--event", &list], "not one JSON object"),
        (&["--run", "--event", &page], "no function for page calls"),
        (&["--run", "--event", &odd], "has no type"),
        (&["--run", "--event", &number], "messageId"),
    ];
    for (arguments, said) in cases {
        let (code, stdout, stderr) = setup.output(arguments, &KEYS).await;
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    let mut other = command();
    other.args(["destinations", "test", "odd", "--config"]).arg(&setup.file);
    let output = finished(&mut other).await;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("no enabled destination odd: it has crm"), "{stderr}");
    fs::write(&setup.file, "[[destination]]\nname = \"crm\"\ntype = \"lambda\"\nfunction = \"odd\"\n")
        .unwrap();
    let (code, _, stderr) = setup.output(&[], &KEYS).await;
    assert!(code == 2 && stderr.contains("expected the ARN of a function"), "{code} {stderr}");
    assert!(!stderr.contains("bucket"), "a file with nothing else needs nothing else: {stderr}");
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn the_aws_cli_reads_the_same_from_this_server() {
    let Some(aws) = in_venv("aws") else { return };
    let server = ScriptedHttp::elsewhere(lambda).await;
    let setup = Setup::lambda(&server, &two_functions());
    let out = setup.folder.path().join("out.json");
    let cli = async |function: &str, arguments: &[&str]| {
        let mut command = Command::new(&aws);
        command.args(["lambda", "invoke", "--function-name", function, "--payload", "{}"]).args(arguments);
        command
            .args(["--region", "eu-west-1", "--output", "json", "--endpoint-url", &server.url()])
            .arg(&out)
            .envs(KEYS);
        command.env_remove("AWS_PROFILE").env("AWS_MAX_ATTEMPTS", "1");
        run(command).await
    };
    let read = |output: std::process::Output| -> Value {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
    };
    let said = read(cli(IDENTIFY, &["--log-type", "Tail"]).await);
    let ran = setup.test(&["--run"]).await;
    let failed = ran.of("call", IDENTIFY);
    assert_eq!((&said["StatusCode"], &said["FunctionError"]), (&json!(200), &json!("Unhandled")));
    let log = STANDARD.decode(said["LogResult"].as_str().unwrap()).unwrap();
    let log = String::from_utf8(log).unwrap();
    assert_eq!(failed["log"], json!(log.lines().collect::<Vec<_>>()));
    let error: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    let error =
        format!("{}: {}", error["errorType"].as_str().unwrap(), error["errorMessage"].as_str().unwrap());
    let version = format!("version {}", said["ExecutedVersion"].as_str().unwrap());
    expect(failed, "failed", &[&error, &version]);

    let dry = read(cli(TRACK, &["--invocation-type", "DryRun"]).await);
    assert_eq!(dry["StatusCode"], 204);
    let refused = cli(FORBIDDEN, &[]).await;
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(stderr.contains("AccessDeniedException") && stderr.contains("scripted"), "{stderr}");
}

/// A trust policy for a user, with an external id if one is required.
pub(super) fn trust(user: &Identity, external_id: Option<&str>) -> Value {
    let mut statement =
        json!({ "Effect": "Allow", "Principal": { "AWS": user.arn }, "Action": "sts:AssumeRole" });
    if let Some(id) = external_id {
        statement["Condition"] = json!({ "StringEquals": { "sts:ExternalId": id } });
    }
    policy(json!([statement]))
}

pub(super) fn policy(statements: Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// A user that may assume the role `invoker`, with the external id `web`, and the role's ARN.
pub(super) async fn invoker(aws: &Ministack) -> (Identity, String) {
    let user = aws.make_user("collector").await;
    let statement = |action: &str| json!([{ "Effect": "Allow", "Action": action, "Resource": "*" }]);
    aws.allow("collector", &policy(statement("sts:AssumeRole"))).await;
    let may = policy(statement("lambda:InvokeFunction"));
    let role = aws.make_role("invoker", &trust(&user, Some("web")), &may).await;
    (user, role)
}

#[tokio::test]
async fn a_role_is_tried_with_and_without_its_external_id() {
    let Some(aws) = Ministack::start().await else { return };
    let (user, role) = invoker(&aws).await;
    let server = ScriptedHttp::elsewhere(lambda).await;
    let sts = format!("sts_endpoint_url = \"{}\"", aws.recorder.url());
    let setup = |lines: &str| {
        let lines = format!("function = \"{TRACK}\"\nrole_arn = \"{role}\"\n{lines}");
        Setup::serve(&sts, &lambda_lines(&server.url(), &lines))
    };
    let keys = user.credentials();

    // The source's id is the external id.
    let sound = setup("").test_as(&["--run"], &keys).await;
    assert_eq!(sound.code, 0, "{:#}", sound.json);
    expect(sound.of("identity", ""), "passed", &[&user.arn]);
    expect(sound.of("role", "with the external id"), "passed", &[&role, "external id web"]);
    expect(sound.of("role_without_external_id", ""), "passed", &["is refused"]);
    expect(sound.of("call", TRACK), "passed", &[]);
    let token = server.requests().last().unwrap().header("x-amz-security-token").map(str::to_owned);
    assert!(token.is_some(), "the function is invoked with the role's session");
    let asked = server.requests().len();

    // A wrong one; the printed statement has the ids of all sources.
    let wrong = setup("").test_as(&["--run", "--source", "ios"], &keys).await;
    let refused = wrong.of("role", "with the external id");
    expect(refused, "failed", &["AccessDenied"]);
    assert!(
        paste(refused, "external id that the trust").contains("name = \"crm\"\nexternal_id ="),
        "{refused:#}"
    );
    expect(wrong.of("role_without_external_id", ""), "not_tested", &["either"]);
    expect(wrong.of("dry_run", ""), "not_tested", &["the role cannot be assumed"]);
    expect(wrong.of("call", ""), "not_tested", &["the role cannot be assumed"]);
    assert_eq!(server.requests().len(), asked, "nothing is invoked");
    let printed: Value = serde_json::from_str(paste(refused, "lambda-destination-trust-many")).unwrap();
    assert_eq!(printed["Condition"]["StringEquals"]["sts:ExternalId"], json!(["ios", "web"]));
    aws.trust("invoker", &policy(json!([printed]))).await;
    let fixed = setup("").test_as(&["--source", "ios"], &keys).await;
    assert_eq!(fixed.code, 0, "{:#}", fixed.json);

    // A trust policy that requires none: a warning, and its statement fixes it.
    aws.trust("invoker", &trust(&user, None)).await;
    let open = setup("external_id = \"a-secret-id\"");
    let loose = open.test_as(&[], &keys).await;
    assert_eq!(loose.code, 0, "{:#}", loose.json);
    let warning = loose.of("role_without_external_id", "");
    expect(warning, "warning", &["without an external id", "confused deputy"]);
    let printed: Value = serde_json::from_str(paste(warning, "lambda-destination-trust`")).unwrap();
    aws.trust("invoker", &policy(json!([printed]))).await;
    let closed = open.test_as(&[], &keys).await;
    expect(closed.of("role_without_external_id", ""), "passed", &["is refused"]);

    // A function of another account.
    let foreign = format!("function = \"{FOREIGN}\"\nrole_arn = \"{role}\"\nexternal_id = \"a-secret-id\"");
    let foreign = Setup::serve(&sts, &lambda_lines(&server.url(), &foreign)).test_as(&[], &keys).await;
    let denied = foreign.of("dry_run", FOREIGN);
    expect(denied, "failed", &["Accessdenied"]);
    let command = paste(denied, "other account 111122223333");
    assert!(command.contains(&format!("--function-name forbidden --qualifier 7 --statement-id forebay --action lambda:InvokeFunction --principal {role}")), "{command}");
}

/// A handler: it fails if the call's event is "fail".
const HANDLER: &str = r#"
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(call["messageId"], flush=True)
        self.send_response(500 if call["event"] == "fail" else 204)
        self.end_headers()
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[tokio::test]
async fn a_handler_on_a_laptop_is_tested_from_a_file_with_nothing_else() {
    let Some(python) = in_venv("python") else { return };
    let mut handler = tokio::process::Command::new(python);
    handler
        .args(["-c", HANDLER])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut handler = handler.spawn().unwrap();
    let mut printed = BufReader::new(handler.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(HANDLER_START, printed.next_line()).await;
        line.expect("the handler prints in time").unwrap().expect("a line")
    };
    let port = next().await;
    let setup = Setup::dev(&format!("type = \"http\"\nurl = \"http://127.0.0.1:{port}/token-1\""));

    let (code, stdout, stderr) = setup.output(&[], &[]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    let words = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = "not tested: a web address has no dry run, so nothing was tried; --run sends it this one call";
    assert!(words.contains(said), "{stdout}");

    let ran = setup.test_as(&["--run"], &[]).await;
    assert_eq!(ran.outcomes(), [("call", "passed")], "no credentials are needed");
    let id = next().await;
    assert!(id.starts_with("forebay-test-"), "{id}");
    expect(ran.of("call", ""), "passed", &[&id, " ms"]);
    assert_eq!(ran.json["findings"][0]["sources"], json!(["my-app"]));
    assert!(!ran.json.to_string().contains("token-1"), "the address may hold a secret");

    let file = setup.beside("fail.json", r#"{"type":"track","messageId":"m-2","event":"fail"}"#);
    let failed = setup.test_as(&["--run", "--event", &file], &[]).await;
    assert_eq!(next().await, "m-2");
    expect(failed.of("call", ""), "failed", &["Service Unavailable: 500"]);
    handler.kill().await.unwrap();
    let gone = setup.test_as(&["--run"], &[]).await;
    expect(gone.of("call", ""), "failed", &["Network Error"]);
}

#[tokio::test]
async fn a_call_is_forwarded_as_its_sdk_would_send_it() {
    let server = ScriptedHttp::elsewhere(|_| Reply::status(200)).await;
    let lines = format!("type = \"http\"\nforward = \"{}\"\nwrite_key = \"their-key\"", server.url());
    let setup = Setup::dev(&lines);
    let dry = setup.test_as(&[], &[]).await;
    expect(
        dry.of("call", ""),
        "not_tested",
        &["a tracking endpoint has no dry run; --run sends it this call"],
    );
    assert_eq!(server.requests().len(), 0);
    let ran = setup.test_as(&["--run", "--type", "page"], &[]).await;
    expect(ran.of("call", ""), "passed", &["the page call forebay-test-"]);
    let request = server.requests().remove(0);
    assert_eq!(request.target, "/v1/batch");
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["batch"][0]["type"], &body["batch"][0]["receivedAt"]), (&json!("page"), &Value::Null));
    assert!(!ran.json.to_string().contains("their-key"));
}

#[tokio::test]
async fn there_is_a_manual_page_and_a_completion() {
    let folder = tempfile::tempdir().unwrap();
    let output = finished(command().arg("man").arg(folder.path())).await;
    assert!(output.status.success(), "{output:?}");
    let page = fs::read_to_string(folder.path().join("forebay-destinations-test.1")).unwrap();
    assert!(page.contains("forebay destinations test crm \\-\\-type track"), "{page}");
    let output = finished(command().args(["completions", "bash"])).await;
    let script = String::from_utf8(output.stdout).unwrap();
    assert!(script.contains("forebay__subcmd__destinations__subcmd__test)"), "{script}");
}
