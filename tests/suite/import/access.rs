//! Whether an import may read its bucket: `forebay import test-credentials`, and what a pass says that is denied,
//! against a server that evaluates policies with their conditions, and one that answers by script.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Ran, ran};
use crate::serve::support::{PATIENCE, Settings, status};
use crate::support::actions::{actions_of, form_value};
use crate::support::aws_tool::Identity;
use crate::support::bucket::Bucket;
use crate::support::forebay::{Forebay, command};
use crate::support::granted;
use crate::support::minio::{Minio, User};
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};
use crate::support::tools::Ministack;
use crate::support::wait;

pub(super) const ROLE: &str = "arn:aws:iam::000000000000:role/reader";
const FILE: &str = "{\"e\":\"a\",\"u\":\"u\"}\n";
const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["path","u"]}}}"#;

/// A folder with a configuration: an import of `orders/` in the bucket `lake`.
pub(super) struct Site {
    folder: TempDir,
    pub(super) settings: Settings,
    credentials: (String, String),
}

impl Site {
    fn new(store: &str, import: &str, (id, secret): (&str, &str)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(folder.path(), store, &["web"]);
        settings.s3 = format!(
            "bucket = \"calls\"\nendpoint_url = \"{store}\"\npath_style = true\nsts_endpoint_url = \"{store}\""
        );
        settings.imports = format!(
            "[[import]]\nname = \"orders\"\nbucket = \"lake\"\nprefix = \"orders/\"\nconverter = \"c.json\"\n\
             insert_id_window = \"0 s\"\nscan_interval = \"1 s\"\n{import}\n"
        );
        Self { folder, settings, credentials: (id.to_owned(), secret.to_owned()) }
    }

    pub(super) fn environment(&self) -> [(&str, &str); 3] {
        let (id, secret) = &self.credentials;
        [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret), ("AWS_EC2_METADATA_DISABLED", "true")]
    }

    /// A node with the configuration.
    pub(super) async fn serve(&self) -> Forebay {
        Forebay::serve(self.settings.write(), &self.environment()).await
    }

    /// Runs a command in the folder, with the configuration.
    pub(super) async fn run(&self, words: &[&str]) -> Ran {
        let file = self.settings.write();
        let mut command = command();
        for name in ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"] {
            command.env_remove(name);
        }
        let nowhere = self.folder.path().join("nowhere");
        command.env("AWS_CONFIG_FILE", &nowhere).env("AWS_SHARED_CREDENTIALS_FILE", &nowhere);
        command
            .args(words)
            .arg("--config")
            .arg(file)
            .current_dir(self.folder.path())
            .envs(self.environment());
        ran(command).await
    }

    /// Tests the access, and checks that nothing was made of a spool.
    pub(super) async fn test(&self) -> Tested {
        let was_there = self.settings.spool_dir().exists();
        let ran = self.run(&["import", "test-credentials", "orders", "--json"]).await;
        assert_eq!(self.settings.spool_dir().exists(), was_there, "a spool was created");
        let json: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        Tested { code: ran.code.unwrap(), findings: json["findings"].as_array().unwrap().clone() }
    }

    /// A policy as `forebay policy` prints it for the import.
    pub(super) async fn policy(&self, name: &str, more: &[&str]) -> Value {
        let ran = self.run(&[&["policy", name, "--import", "orders"], more].concat()).await.code(0);
        serde_json::from_str(&ran.out).unwrap()
    }

    pub(super) fn write_converter(&self) {
        fs::write(self.folder.path().join("c.json"), CONVERTER).unwrap();
    }
}

/// What a test of the access found.
#[derive(Debug)]
pub(super) struct Tested {
    pub(super) code: i32,
    findings: Vec<Value>,
}

impl Tested {
    fn of(&self, check: &str) -> &Value {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check} in {self:#?}"))
    }

    /// Checks the outcome of a check, and that its text and remedies have these words.
    #[track_caller]
    pub(super) fn expect(&self, check: &str, outcome: &str, words: &[&str]) -> &Self {
        let finding = self.of(check);
        assert_eq!(finding["outcome"], outcome, "{finding:#}");
        for word in words {
            assert!(finding.to_string().contains(word), "{word:?} is missing in {finding:#}");
        }
        self
    }

    /// The first text to paste.
    pub(super) fn paste(&self, check: &str) -> Value {
        let finding = self.of(check);
        let text = finding["remedies"][0]["paste"].as_str().unwrap_or_else(|| panic!("{finding:#}"));
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

pub(super) fn policy_of(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// A server with the bucket and its files, and a user that may assume roles and put calls.
pub(super) struct Aws {
    pub(super) server: Ministack,
    collector: Identity,
    pub(super) lake: Bucket,
    pub(super) site: Site,
}

impl Aws {
    pub(super) async fn start(import: &str) -> Option<Self> {
        let server = Ministack::start().await?;
        let collector = server.make_user("collector").await;
        server.make_bucket("calls").await;
        let lake = server.make_bucket("lake").await;
        let site = Site::new(&server.recorder.url(), import, (&collector.id, &collector.secret));
        let own = json!([
            { "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE },
            { "Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": "arn:aws:s3:::calls/*" },
        ]);
        server.allow("collector", &policy_of(own.as_array().unwrap())).await;
        let aws = Self { server, collector, lake, site };
        aws.put("orders/1.json").await;
        aws.put("other/1.json").await;
        Some(aws)
    }

    pub(super) async fn put(&self, key: &str) {
        let body = FILE.as_bytes().to_vec().into();
        self.lake.client.put_object().bucket("lake").key(key).body(body).send().await.unwrap();
    }

    /// Makes the role, with these rights and the printed trust policy.
    pub(super) async fn make_role(&self, may: &Value) {
        let trust = self.site.policy("import-trust", &["--principal", &self.collector.arn]).await;
        assert_eq!(self.server.make_role("reader", &trust, may).await, ROLE);
    }

    /// Replaces the rights of the role.
    pub(super) async fn may(&self, statements: &[Value]) {
        let policy = policy_of(statements).to_string();
        let policy = json!({ "RoleName": "reader", "PolicyName": "may", "PolicyDocument": policy });
        self.server.admin("iam", "put_role_policy", policy).await;
    }
}

pub(super) fn with_role() -> String {
    format!("role_arn = \"{ROLE}\"\nexternal_id = \"id-1\"")
}

/// A right that none of the tests needs: a policy needs a statement.
pub(super) fn nothing() -> Value {
    json!({ "Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*" })
}

#[tokio::test]
async fn the_printed_policies_are_enough_and_not_more() {
    let Some(aws) = Aws::start(&with_role()).await else { return };
    let may = aws.site.policy("import-read-prefix", &[]).await;
    aws.make_role(&may).await;
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    tested.expect("identity", "passed", &[&aws.collector.arn]);
    tested.expect("role", "passed", &[ROLE, "the external id id-1"]);
    tested.expect("role_without_external_id", "passed", &["is refused"]);
    tested.expect("wrong_external_id", "passed", &["is refused"]);
    tested.expect("region", "passed", &["lake is in "]);
    tested.expect("list", "passed", &["s3://lake/orders/ can be listed (1 object)"]);
    tested.expect("list_outside", "passed", &["cannot be listed outside orders/"]);
    tested.expect("get", "passed", &["s3://lake/orders/1.json can be read"]);
    tested.expect("get_version", "not_tested", &["has no version"]);
    tested.expect("decrypt", "not_tested", &["not encrypted"]);

    aws.site.write_converter();
    let pass = aws.site.run(&["import", "run", "orders"]).await.code(0);
    assert!(pass.out.contains("1 done"), "{pass:?}");
    // Each request is one that the templates grant.
    let requests = aws.server.recorder.requests();
    let of_import =
        requests.iter().filter(|request| request.method == "POST" || request.target.starts_with("/lake"));
    let sent: BTreeSet<String> = of_import.flat_map(actions_of).collect();
    let mut granted = granted::actions_of("import-read-prefix");
    granted.extend(["sts:AssumeRole", "sts:GetCallerIdentity"].map(str::to_owned));
    assert!(sent.is_subset(&granted), "{sent:?}");
    for needed in ["sts:AssumeRole", "s3:ListBucket", "s3:GetObject"] {
        assert!(sent.contains(needed), "{sent:?}");
    }
}

#[tokio::test]
async fn the_printed_statement_grants_what_is_missing() {
    let Some(aws) = Aws::start(&with_role()).await else { return };
    aws.make_role(&policy_of(&[nothing()])).await;
    aws.site.write_converter();
    // What a pass prints is what the test prints.
    let pass_prints = async |statement: &Value| {
        let pass = aws.site.run(&["import", "run", "orders", "--json"]).await.code(5);
        let json: Value = serde_json::from_str(&pass.out).unwrap();
        let granted: Value = serde_json::from_str(json["grants"][0]["statement"].as_str().unwrap()).unwrap();
        assert_eq!(granted, *statement, "{json:#}");
        let text = aws.site.run(&["import", "run", "orders"]).await.code(5);
        let sid = format!("\"Sid\": {}", statement["Sid"]);
        assert!(text.out.contains(&sid) && text.out.contains(&format!("the policy of {ROLE} ")), "{text:?}");
        text
    };
    // Commands that look at files name the policy.
    let policy = "`forebay policy import-read-prefix --import orders --config /";
    let name_it = async |commands: &[&[&str]]| {
        for words in commands {
            let ran = aws.site.run(&[&["import"], *words].concat()).await.code(5);
            assert!((ran.out.clone() + &ran.err).replace("\n", " ").contains(policy), "{ran:?}");
        }
    };
    let looks: [&[&str]; 2] = [&["preview", "orders"], &["infer-converter", "orders"]];
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 5, "{tested:#?}");
    tested.expect(
        "list",
        "failed",
        &["403 AccessDenied", ROLE, "forebay policy import-read-prefix --import orders"],
    );
    tested.expect("get", "not_tested", &["the bucket cannot be listed"]);
    let lists = tested.paste("list");
    let text = pass_prints(&lists).await;
    let sentence = "must allow s3:ListBucket on lake below orders/: `forebay policy import-read-prefix --import orders --config /";
    assert!(
        text.out.contains("s3://lake/orders/ cannot be listed: 403") && text.out.contains(sentence),
        "{text:?}"
    );

    name_it(&looks).await;
    aws.may(std::slice::from_ref(&lists)).await;
    name_it(&looks).await;
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 5, "{tested:#?}");
    tested.expect("list", "passed", &[]).expect("list_outside", "passed", &[]);
    tested.expect("get", "failed", &["403", "arn:aws:s3:::lake/orders/*"]);
    let reads = tested.paste("get");
    let text = pass_prints(&reads).await;
    assert!(text.out.contains("1 denied") && text.out.contains("to fix it: "), "{text:?}");

    aws.may(&[lists.clone(), reads]).await;
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    aws.site.run(&["import", "run", "orders"]).await.code(0);
    aws.may(std::slice::from_ref(&lists)).await;
    name_it(&[&["reset-file", "orders", "orders/1.json"]]).await;
}

#[tokio::test]
async fn a_role_is_assumed_only_by_whom_and_with_what_its_trust_policy_says() {
    let Some(aws) = Aws::start(&with_role()).await else { return };
    let may = aws.site.policy("import-read-prefix", &[]).await;
    aws.make_role(&may).await;
    let trust = |who: &str, external_id: Option<&str>| {
        let mut statement =
            json!({ "Effect": "Allow", "Principal": { "AWS": who }, "Action": "sts:AssumeRole" });
        if let Some(id) = external_id {
            statement["Condition"] = json!({ "StringEquals": { "sts:ExternalId": id } });
        }
        policy_of(&[statement])
    };
    let stranger = aws.server.make_user("stranger").await;
    for wrong in [trust(&aws.collector.arn, Some("id-2")), trust(&stranger.arn, Some("id-1"))] {
        aws.server.trust("reader", &wrong).await;
        let tested = aws.site.test().await;
        assert_eq!(tested.code, 5, "{tested:#?}");
        tested.expect("role", "failed", &["AccessDenied", "the external id id-1", "ForebayAssumesRole"]);
        tested.expect("role_without_external_id", "not_tested", &[]);
        tested.expect("list", "not_tested", &["the role cannot be assumed"]);
        let statement = tested.paste("role");
        aws.server.trust("reader", &policy_of(&[statement])).await;
        assert_eq!(aws.site.test().await.code, 0, "the printed statement grants it");
    }
    aws.site.write_converter();
    aws.server.trust("reader", &trust(&stranger.arn, Some("id-1"))).await;
    let pass = aws.site.run(&["import", "run", "orders"]).await.code(5);
    let sentence =
        "`forebay policy import-trust --import orders --external-id id-1 --principal ARN --config /";
    assert!(pass.out.contains(sentence), "{pass:?}");

    // The confused deputy.
    aws.server.trust("reader", &trust(&aws.collector.arn, None)).await;
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    tested.expect("role", "passed", &[]);
    let words = ["confused deputy", "sts:ExternalId"];
    tested
        .expect("role_without_external_id", "warning", &words)
        .expect("wrong_external_id", "warning", &words);
    let statement = tested.paste("role_without_external_id");
    aws.server.trust("reader", &policy_of(&[statement])).await;
    aws.site.test().await.expect("role_without_external_id", "passed", &[]).expect(
        "wrong_external_id",
        "passed",
        &[],
    );
}

#[tokio::test]
async fn more_right_than_needed_is_a_warning() {
    let Some(aws) = Aws::start(&with_role()).await else { return };
    let whole = aws.site.policy("import-read", &[]).await;
    aws.make_role(&whole).await;
    let tested = aws.site.test().await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    tested.expect("list_outside", "warning", &["more than the import needs below orders/"]);
    let lists = tested.paste("list_outside");
    let reads = whole["Statement"][1].clone();
    assert_eq!(reads["Sid"], "ImportReads");
    aws.may(&[lists, reads]).await;
    aws.site.test().await.expect("list_outside", "passed", &[]);
}

#[tokio::test]
async fn the_alarm_and_the_status_say_what_to_allow() {
    let Some(aws) = Aws::start(&with_role()).await else { return };
    aws.make_role(&policy_of(&[nothing()])).await;
    aws.site.write_converter();
    let node = Forebay::serve(aws.site.settings.write(), &aws.site.environment()).await;
    let alarm = async |said: &str| {
        wait::until(said, PATIENCE, async || {
            let status = status(&node).await;
            let alarms = status["alarms"].as_array().unwrap();
            let found = alarms.iter().find(|alarm| alarm["kind"] == "bucket_import")?;
            found["what"].as_str().unwrap().contains(said).then(|| status.clone())
        })
        .await
    };
    let lists = "must allow s3:ListBucket on lake below orders/: `forebay policy import-read-prefix --import orders` prints it";
    let status = alarm(lists).await;
    assert!(status["imports"][0]["failing"].as_str().unwrap().contains(lists), "{status}");
    let may = aws.site.policy("import-read-prefix", &[]).await["Statement"].as_array().unwrap().clone();
    aws.may(&may[..1]).await;
    let reads = "must allow s3:GetObject and s3:GetObjectVersion on lake/orders/*";
    let status = alarm(reads).await;
    assert!(status["imports"][0]["last"]["remedy"].as_str().unwrap().contains(reads), "{status}");
    assert!(node.terminate().await.success());
}

/// A store and a token service that answer like AWS: an import's bucket with one file that has a version and is
/// encrypted with a key. `instead` answers in their place.
async fn scripted(instead: impl Fn(&Request) -> Option<Reply> + Send + 'static) -> ScriptedHttp {
    ScriptedHttp::start(move |request| instead(request).unwrap_or_else(|| sound(request))).await
}

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const WHO: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/collector</Arn></GetCallerIdentityResult>\
    </GetCallerIdentityResponse>";

fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer {
        status,
        headers: vec![("content-type".into(), "application/xml".into())],
        body: body.to_owned(),
    }
}

fn is_list(request: &Request) -> bool {
    request.method == "GET" && request.target.contains("list-type=2")
}

fn is_get(request: &Request) -> bool {
    request.method == "GET" && !request.target.contains("list-type=2")
}

fn listing(keys: &[&str]) -> Reply {
    let object = |key: &&str| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-11-20T08:00:00.000Z</LastModified><ETag>&quot;a&quot;</ETag>\
             <Size>5</Size></Contents>"
        )
    };
    let objects: String = keys.iter().map(object).collect();
    answer(
        200,
        &format!(
            "<ListBucketResult><Name>lake</Name><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>"
        ),
    )
}

fn sound(request: &Request) -> Reply {
    let with_version = |reply: Reply| {
        reply
            .with("etag", "\"a\"")
            .with("x-amz-version-id", "v1")
            .with("x-amz-server-side-encryption", "aws:kms")
            .with("x-amz-server-side-encryption-aws-kms-key-id", KEY)
    };
    match request.method.as_str() {
        "POST" if form_value(&request.body, "Action").as_deref() == Some("GetCallerIdentity") => {
            answer(200, WHO)
        }
        "GET" if is_list(request) && request.target.contains("prefix=orders") => listing(&["orders/1.json"]),
        "GET" if is_list(request) => Reply::s3_error(403, "AccessDenied"),
        "HEAD" => with_version(answer(200, "12345")),
        "GET" => with_version(answer(206, "1").with("content-range", "bytes 0-0/5")),
        other => panic!("{other} {}", request.target),
    }
}

/// A denial in AWS's wording.
fn not_authorized(action: &str, resource: &str) -> Reply {
    let body = format!(
        "<Error><Code>AccessDenied</Code><Message>User: arn:aws:iam::111122223333:user/collector is not authorized to \
         perform: {action} on resource: {resource} because no identity-based policy allows the {action} action</Message>\
         </Error>"
    );
    answer(403, &body)
}

async fn tested(instead: impl Fn(&Request) -> Option<Reply> + Send + 'static) -> Tested {
    let server = scripted(instead).await;
    Site::new(&server.url(), "", ("AKIACOLLECTOR", "secret")).test().await
}

#[tokio::test]
async fn versions_and_keys_are_tested_if_a_file_has_them() {
    let all = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&all);
    let sound = tested(move |request| {
        seen.lock().unwrap().extend(actions_of(request));
        None
    })
    .await;
    assert_eq!(sound.code, 0, "{sound:#?}");
    sound.expect("get", "passed", &[]).expect("get_version", "passed", &["version v1"]);
    sound.expect("decrypt", "passed", &[KEY]).expect("list_outside", "passed", &[]);
    let mut granted = granted::actions_of("import-read-prefix");
    granted.remove("kms:Decrypt");
    granted.insert("sts:GetCallerIdentity".to_owned());
    assert_eq!(*all.lock().unwrap(), granted, "what is sent, and what is granted: S3 decrypts");

    for reply in [not_authorized("kms:Decrypt", KEY), Reply::s3_error(403, "AccessDenied")] {
        let denied = tested(move |request| is_get(request).then(|| reply.clone())).await;
        assert_eq!(denied.code, 5, "{denied:#?}");
        denied.expect("get", "not_tested", &["cannot be decrypted"]);
        denied.expect("decrypt", "failed", &["forebay policy import-read-prefix --import orders"]);
        let statement = denied.paste("decrypt");
        assert_eq!((&statement["Action"], &statement["Resource"]), (&json!("kms:Decrypt"), &json!(KEY)));
    }
    let version = tested(|request| {
        let by_version = is_get(request) && request.target.contains("versionId=v1");
        by_version.then(|| not_authorized("s3:GetObjectVersion", "arn:aws:s3:::lake/orders/1.json"))
    })
    .await;
    assert_eq!(version.code, 5, "{version:#?}");
    version.expect("get", "passed", &[]).expect("get_version", "failed", &["s3:GetObjectVersion"]);
    let disabled =
        tested(|request| is_get(request).then(|| Reply::s3_error(400, "KMS.DisabledException"))).await;
    assert_eq!(disabled.code, 2, "{disabled:#?}");
    disabled.expect("decrypt", "failed", &["enable the KMS key"]);
    let explicit = tested(|request| {
        is_list(request).then(|| not_authorized("s3:ListBucket", "lake with an explicit deny in a policy"))
    })
    .await;
    assert_eq!(explicit.code, 5, "{explicit:#?}");
    explicit.expect("list", "failed", &["denies s3:ListBucket on lake below orders/ explicitly"]);
    assert_eq!(explicit.of("list")["remedies"][0].get("paste"), None, "{explicit:#?}");
}

#[tokio::test]
async fn what_cannot_be_tested_is_said_and_each_end_has_its_exit_code() {
    let empty = tested(|request| is_list(request).then(|| listing(&[]))).await;
    assert_eq!(empty.code, 0, "{empty:#?}");
    empty.expect("get", "not_tested", &["there is no file yet"]);
    let marker = tested(|request| is_list(request).then(|| listing(&["orders/"]))).await;
    marker.expect("get", "not_tested", &["there is no file yet that the import would read"]);
    let gone = tested(|request| (request.method == "HEAD").then(|| Reply::status(404))).await;
    assert_eq!(gone.code, 0, "{gone:#?}");
    gone.expect("get", "not_tested", &["gone meanwhile"]);
    let no_bucket = tested(|request| is_list(request).then(|| Reply::s3_error(404, "NoSuchBucket"))).await;
    assert_eq!(no_bucket.code, 2, "{no_bucket:#?}");
    no_bucket.expect("list", "failed", &["check the bucket's name"]);
    for reply in [Reply::Close, Reply::s3_error(503, "SlowDown")] {
        let away = tested(move |request| is_list(request).then(|| reply.clone())).await;
        assert_eq!(away.code, 4, "{away:#?}");
        away.expect("list", "failed", &[]);
    }
    let nowhere = Site::new("http://127.0.0.1:1", "", ("AKIACOLLECTOR", "secret"));
    assert_eq!(nowhere.test().await.code, 4);

    let server = scripted(|_| None).await;
    let mut site = Site::new(&server.url(), "", ("", ""));
    let nobody = site.test().await;
    assert_eq!(nobody.code, 5, "{nobody:#?}");
    nobody.expect("credentials", "failed", &[]).expect("list", "not_tested", &["there are no credentials"]);
    let wrong = site.run(&["import", "test-credentials", "no"]).await.code(2);
    assert!(wrong.err.contains("the configuration has no [[import]] no; it has orders"), "{wrong:?}");
    site.settings.imports = site.settings.imports.replace("\"lake\"", "\"lake/x\"");
    let wrong = site.run(&["import", "test-credentials", "orders"]).await.code(2);
    assert!(wrong.err.contains("import.orders.bucket"), "{wrong:?}");
}

/// A store other than AWS, which evaluates the condition on the prefix, too.
#[tokio::test]
async fn minio_evaluates_the_same_statements() {
    let Some(minio) = Minio::start().await else { return };
    let lake = minio.make_bucket("lake").await;
    for key in ["orders/1.json", "other/1.json"] {
        let body = FILE.as_bytes().to_vec().into();
        lake.client.put_object().bucket("lake").key(key).body(body).send().await.unwrap();
    }
    minio.add_user(User::COLLECTOR).await;
    let mut site = Site::new(&minio.url(), "", (User::COLLECTOR.id, User::COLLECTOR.secret));
    site.settings.s3 =
        site.settings.s3.lines().filter(|line| !line.starts_with("sts_")).collect::<Vec<_>>().join("\n");
    let part = site.policy("import-read-prefix", &[]).await["Statement"].as_array().unwrap().clone();
    minio.bind(User::COLLECTOR, &part).await;
    let tested = site.test().await;
    assert_eq!(tested.code, 0, "{tested:#?}");
    tested.expect("list", "passed", &[]).expect(
        "list_outside",
        "passed",
        &["cannot be listed outside orders/"],
    );
    tested.expect("get", "passed", &[]);
    let whole = site.policy("import-read", &[]).await["Statement"].as_array().unwrap().clone();
    minio.bind(User::COLLECTOR, &whole).await;
    site.test().await.expect("list_outside", "warning", &["more than the import needs"]);
    minio.bind(User::COLLECTOR, &part[1..]).await;
    let tested = site.test().await;
    assert_eq!(tested.code, 5, "{tested:#?}");
    assert_eq!(tested.paste("list"), part[0]);
}
