//! The bounds of a job's specification: those of AWS's API where they are known.

use std::collections::BTreeSet;
use std::fmt;

use super::operation::Operation;
use super::spec::{JobSpec, MadeBy, ManifestPlace};
use crate::jobs::invocation::Schema;
use crate::jobs::task::{ARGUMENT_NAME_MAX, ARGUMENT_VALUE_MAX, ARGUMENTS_MAX};
use crate::object::BucketString;
use crate::words::outside_text;

/// The longest description, in characters.
pub const DESCRIPTION_MAX: usize = 256;
/// The longest client request token, in characters.
pub const TOKEN_MAX: usize = 64;
/// The longest ETag of a manifest, in characters.
pub const ETAG_MAX: usize = 1_024;
/// The longest version of a manifest, in characters.
pub const VERSION_MAX: usize = 2_000;
/// The longest key of a manifest, in bytes (the bound of S3).
pub const MANIFEST_KEY_MAX: usize = 1_024;
/// The longest path of a manifest, in bytes.
pub const MANIFEST_PATH_MAX: usize = 4_096;
/// Columns of a manifest.
pub const FIELDS_MAX: usize = 32;
/// The longest prefix of a report, in characters (`ReportPrefixString`).
pub const REPORT_PREFIX_MAX: usize = 512;
/// Tags of a job.
pub const TAGS_MAX: usize = 50;
/// The longest name of a tag, in characters.
pub const TAG_NAME_MAX: usize = 128;
/// The longest value of a tag, in characters.
pub const TAG_VALUE_MAX: usize = 256;
/// The longest name of a region, in bytes.
pub const REGION_MAX: usize = 64;
/// Invocations in flight at once.
pub const CONCURRENCY_MAX: u32 = 10_000;
/// Objects that are imported at once: each file that is read takes up to 48 MiB.
pub const IMPORTS_MAX: u32 = 8;
/// The longest text of the way of imported rows, in characters.
pub const WAY_MAX: usize = 4_096;
/// Attempts of a task.
pub const ATTEMPTS_MAX: u32 = 1_000;
/// The longest time of an invocation, in milliseconds: a day.
pub const TASK_TIMEOUT_MS_MAX: u64 = 86_400_000;

/// One wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// The field, by its name in the API where it has one, or the option.
    pub field: &'static str,
    /// The expected form, and what was found.
    pub says: String,
}

/// All wrong values of a specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SpecError(pub Vec<SpecProblem>);

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            write!(f, "{}{}: {}", if n > 0 { "; " } else { "" }, problem.field, problem.says)?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Checks(Vec<SpecProblem>);

impl Checks {
    fn problem(&mut self, field: &'static str, says: impl Into<String>) {
        self.0.push(SpecProblem { field, says: says.into() });
    }

    /// 1 to `max` characters, or 0 if `may_be_empty`; none of them a control character.
    fn text(&mut self, field: &'static str, text: &str, max: usize, may_be_empty: bool) {
        let chars = text.chars().count();
        if chars > max || (chars == 0 && !may_be_empty) {
            let least = u8::from(!may_be_empty);
            self.problem(field, format!("expected {least} to {max} characters, not {chars}"));
        } else if text.chars().any(char::is_control) {
            self.problem(field, format!("has a control character: \"{}\"", outside_text(text)));
        }
    }

    fn number(&mut self, field: &'static str, number: u64, from: u64, to: u64) {
        if !(from..=to).contains(&number) {
            self.problem(field, format!("expected {from} to {to}, not {number}"));
        }
    }

    fn pairs(&mut self, field: &'static str, pairs: &[(String, String)], bounds: (usize, usize, usize)) {
        let (pairs_max, name_max, value_max) = bounds;
        if pairs.len() > pairs_max {
            self.problem(field, format!("expected at most {pairs_max}, not {}", pairs.len()));
        }
        let mut names = BTreeSet::new();
        for (name, value) in pairs {
            self.text(field, name, name_max, false);
            self.text(field, value, value_max, true);
            if !names.insert(name) {
                self.problem(field, format!("\"{}\" is given twice", outside_text(name)));
            }
        }
    }

    fn bucket(&mut self, field: &'static str, bucket: &str) {
        if bucket.contains('/') {
            self.problem(
                field,
                format!("expected the name of a bucket alone, not \"{}\"", outside_text(bucket)),
            );
        } else if let Err(error) = BucketString::parse(bucket) {
            self.problem(field, error.to_string());
        }
    }
}

/// Checks the form of a region's name. Errors: the expected form.
pub fn check_region(region: &str) -> Result<(), String> {
    let plain = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match region.is_empty() || region.len() > REGION_MAX || !plain {
        true => Err(format!("expected a region such as us-east-1, not \"{}\"", outside_text(region))),
        false => Ok(()),
    }
}

impl JobSpec {
    /// Checks all values. Errors: all that are wrong, each with its field and the form expected.
    pub fn check(&self) -> Result<(), SpecError> {
        let mut checks = Checks::default();
        self.check_invocations(&mut checks);
        self.check_manifest(&mut checks);
        if let Some(report) = &self.report {
            checks.bucket("Report.Bucket", &report.bucket);
            checks.text("Report.Prefix", &report.prefix, REPORT_PREFIX_MAX, true);
        }
        if let Some(description) = &self.description {
            checks.text("Description", description, DESCRIPTION_MAX, false);
        }
        if let Some(token) = &self.client_request_token {
            checks.text("ClientRequestToken", token, TOKEN_MAX, false);
        }
        checks.pairs("Tags", &self.tags, (TAGS_MAX, TAG_NAME_MAX, TAG_VALUE_MAX));
        if let MadeBy::Api { region, .. } = &self.made_by
            && let Err(expected) = check_region(region)
        {
            checks.problem("region", expected);
        }
        if checks.0.is_empty() { Ok(()) } else { Err(SpecError(checks.0)) }
    }

    fn check_invocations(&self, checks: &mut Checks) {
        if let Err(expected) = self.operation.check() {
            checks.problem("Operation", expected);
        }
        let bounds = (ARGUMENTS_MAX, ARGUMENT_NAME_MAX, ARGUMENT_VALUE_MAX);
        checks.pairs("UserArguments", &self.user_arguments, bounds);
        if !self.user_arguments.is_empty() && self.schema == Schema::V1 {
            let says = "need InvocationSchemaVersion 2.0 (--user-arg needs --schema 2.0); give that, or leave them out";
            checks.problem("UserArguments", says);
        }
        let imports = matches!(self.operation, Operation::Import(_));
        let concurrency_max = if imports { IMPORTS_MAX } else { CONCURRENCY_MAX };
        checks.number("--concurrency", self.concurrency.into(), 1, concurrency_max.into());
        match &self.import {
            Some(way) if imports => {
                way.texts().for_each(|(name, text)| checks.text(name, text, WAY_MAX, false));
                // An `[[import]]` has its own source, and its history stands in the node.
                let of_files = ["--source", "--write-key", "--collector", "--journal"];
                let is_named = matches!(self.operation, Operation::Import(Some(_)));
                for (name, _) in way.texts().filter(|(name, _)| is_named && of_files.contains(name)) {
                    checks.problem(name, "is for --handler import without a name");
                }
            }
            Some(_) => checks.problem("import", "only --handler import has a way of its rows"),
            None if imports => checks.problem("import", "it is not said where the rows go"),
            None => {}
        }
        checks.number("--max-attempts", self.max_attempts.into(), 1, ATTEMPTS_MAX.into());
        checks.number("--task-timeout", self.task_timeout_ms, 1, TASK_TIMEOUT_MS_MAX);
        checks.number("--failure-percent", self.failure_percent.into(), 0, 100);
        checks.number("--failure-min-tasks", self.failure_min_tasks, 1, u64::MAX);
    }

    fn check_manifest(&self, checks: &mut Checks) {
        let manifest = &self.manifest;
        match &manifest.place {
            ManifestPlace::Object { bucket, key, version } => {
                checks.bucket("Manifest.Location", bucket);
                if key.is_empty() || key.len() > MANIFEST_KEY_MAX {
                    let says = format!("expected a key of 1 to {MANIFEST_KEY_MAX} bytes, not {}", key.len());
                    checks.problem("Manifest.Location", says);
                } else if key.chars().any(char::is_control) {
                    let says = format!("the key has a control character: \"{}\"", outside_text(key));
                    checks.problem("Manifest.Location", says);
                }
                if let Some(version) = version {
                    checks.text("Manifest.Location.ObjectVersionId", version, VERSION_MAX, false);
                }
            }
            ManifestPlace::File(path) => checks.text("--manifest", path, MANIFEST_PATH_MAX, false),
            ManifestPlace::StandardInput => {}
        }
        if let Some(etag) = &manifest.etag {
            checks.text("Manifest.Location.ETag", etag, ETAG_MAX, false);
        }
        // What the names mean is the business of `manifest`; here they are bounded.
        if let Some(fields) = &manifest.fields {
            checks.number("Manifest.Spec.Fields", fields.len() as u64, 1, FIELDS_MAX as u64);
            fields.iter().for_each(|field| checks.text("Manifest.Spec.Fields", field, TOKEN_MAX, false));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::jobs::job::import_way::ImportWay;
    use crate::jobs::job::spec::{Endpoints, ManifestFormat, ManifestSpec, ReportScope, ReportSpec};
    use crate::jobs::job::state::Priority;
    use crate::object::{AccountId, RoleArn};
    use crate::time::UnixMillis;

    /// The job of the described `create-job` command.
    pub(crate) fn described() -> JobSpec {
        JobSpec {
            operation: Operation::Function(
                "arn:aws:lambda:us-east-1:123456789012:function:LambdaFunctionName".to_owned(),
            ),
            schema: Schema::V1,
            user_arguments: Vec::new(),
            manifest: ManifestSpec {
                place: ManifestPlace::Object {
                    bucket: "manifests".to_owned(),
                    key: "manifest.csv".to_owned(),
                    version: None,
                },
                etag: Some("60e460c9d1046e73f7dde5043ac3ae85".to_owned()),
                format: Some(ManifestFormat::Csv),
                fields: Some(vec!["Bucket".to_owned(), "Key".to_owned()]),
            },
            report: Some(ReportSpec {
                bucket: "awsexamplebucket1".to_owned(),
                prefix: "ReportPrefix".to_owned(),
                scope: ReportScope::AllTasks,
            }),
            priority: Priority::new(2).unwrap(),
            role: Some(RoleArn::parse("arn:aws:iam::123456789012:role/BatchOperationsRole").unwrap()),
            description: Some("Lambda Function".to_owned()),
            confirmation_required: true,
            client_request_token: Some("token".to_owned()),
            tags: vec![("team".to_owned(), "data".to_owned())],
            concurrency: 100,
            max_attempts: 6,
            task_timeout_ms: 60_000,
            failure_percent: 50,
            failure_min_tasks: 1_000,
            folder: None,
            import: None,
            endpoints: Endpoints::default(),
            made_by: MadeBy::Api {
                account: AccountId::parse("123456789012").unwrap(),
                region: "us-east-1".to_owned(),
            },
            made_at: UnixMillis(1_700_000_000_000),
        }
    }

    #[test]
    fn canonical_json_is_stable_and_reads_back() {
        let json = String::from_utf8(described().canonical_json().unwrap()).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"operation":{"function":"arn:aws:lambda:us-east-1:123456789012:function:LambdaFunctionName"},"#,
                r#""schema":"1.0","user_arguments":[],"manifest":{"place":{"object":{"bucket":"manifests","#,
                r#""key":"manifest.csv","version":null}},"etag":"60e460c9d1046e73f7dde5043ac3ae85","#,
                r#""format":"S3BatchOperations_CSV_20180820","fields":["Bucket","Key"]},"report":{"#,
                r#""bucket":"awsexamplebucket1","prefix":"ReportPrefix","scope":"AllTasks"},"priority":2,"#,
                r#""role":"arn:aws:iam::123456789012:role/BatchOperationsRole","description":"Lambda Function","#,
                r#""confirmation_required":true,"client_request_token":"token","tags":[["team","data"]],"#,
                r#""concurrency":100,"max_attempts":6,"task_timeout_ms":60000,"failure_percent":50,"#,
                r#""failure_min_tasks":1000,"made_by":{"api":{"account":"123456789012","region":"us-east-1"}},"#,
                r#""made_at":1700000000000}"#
            )
        );
        assert_eq!(serde_json::from_str::<JobSpec>(&json).unwrap(), described());
        let unknown = json.replacen('{', r#"{"later":1,"#, 1);
        assert!(serde_json::from_str::<JobSpec>(&unknown).is_err());
    }

    #[test]
    fn a_repeated_request_differs_in_its_time_alone() {
        let later = JobSpec { made_at: UnixMillis(1), ..described() };
        assert!(described().asks_the_same(&later));
        assert!(!described().asks_the_same(&JobSpec { max_attempts: 5, ..later }));
    }

    type Change<'a> = &'a dyn Fn(&mut JobSpec);

    fn problems(change: Change<'_>) -> Vec<&'static str> {
        let mut spec = described();
        change(&mut spec);
        spec.check()
            .err()
            .map_or_else(Vec::new, |error| error.0.iter().map(|problem| problem.field).collect())
    }

    #[test]
    fn both_edges_of_every_bound() {
        let check = |field: &'static str, sound: Change<'_>, wrong: Change<'_>| {
            assert_eq!(problems(sound), Vec::<&str>::new(), "{field}");
            assert_eq!(problems(wrong), [field]);
        };
        let chars = |n: usize| Some("ü".repeat(n));
        check("Description", &|s| s.description = chars(256), &|s| s.description = chars(257));
        check("Description", &|s| s.description = None, &|s| s.description = chars(0));
        check("ClientRequestToken", &|s| s.client_request_token = chars(64), &|s| {
            s.client_request_token = chars(65)
        });
        check("Manifest.Location.ETag", &|s| s.manifest.etag = chars(1_024), &|s| {
            s.manifest.etag = chars(1_025)
        });
        check("--concurrency", &|s| s.concurrency = 10_000, &|s| s.concurrency = 10_001);
        check("--concurrency", &|s| s.concurrency = 1, &|s| s.concurrency = 0);
        let import = |s: &mut JobSpec, concurrency| {
            (s.operation, s.concurrency) = (Operation::Import(None), concurrency);
            s.import = Some(ImportWay { state: "/var/lib/forebay".to_owned(), ..ImportWay::default() });
        };
        check("--concurrency", &|s| import(s, 8), &|s| import(s, 9));
        check("import", &|s| import(s, 1), &|s| (s.operation, s.concurrency) = (Operation::Import(None), 1));
        check("import", &|s| s.import = None, &|s| s.import = Some(ImportWay::default()));
        check("--collector", &|s| import(s, 1), &|s| {
            import(s, 1);
            s.operation = Operation::Import(Some("orders".to_owned()));
            s.import.iter_mut().for_each(|way| way.collector = chars(1));
        });
        check("--source", &|s| import(s, 1), &|s| {
            import(s, 1);
            s.import.iter_mut().for_each(|way| way.source = chars(4_097));
        });
        check("--max-attempts", &|s| s.max_attempts = 1_000, &|s| s.max_attempts = 1_001);
        check("--max-attempts", &|s| s.max_attempts = 1, &|s| s.max_attempts = 0);
        check("--task-timeout", &|s| s.task_timeout_ms = 86_400_000, &|s| s.task_timeout_ms = 86_400_001);
        check("--task-timeout", &|s| s.task_timeout_ms = 1, &|s| s.task_timeout_ms = 0);
        check("--failure-percent", &|s| s.failure_percent = 100, &|s| s.failure_percent = 101);
        check("--failure-min-tasks", &|s| s.failure_min_tasks = 1, &|s| s.failure_min_tasks = 0);
        let prefix = |n: usize| move |s: &mut JobSpec| s.report.as_mut().unwrap().prefix = "p".repeat(n);
        check("Report.Prefix", &prefix(512), &prefix(513));
        check("Report.Prefix", &prefix(0), &|s| s.report.as_mut().unwrap().prefix = "a\nb".to_owned());
        let bucket =
            |name: &'static str| move |s: &mut JobSpec| s.report.as_mut().unwrap().bucket = name.to_owned();
        check("Report.Bucket", &bucket("abc"), &bucket("ab"));
        check("Report.Bucket", &|s| s.report = None, &bucket("abc/prefix"));
        let fields = |n: usize| move |s: &mut JobSpec| s.manifest.fields = Some(vec!["Ignore".to_owned(); n]);
        check("Manifest.Spec.Fields", &fields(32), &fields(33));
        check("Manifest.Spec.Fields", &fields(1), &fields(0));
        let key = |n: usize| {
            move |s: &mut JobSpec| {
                let (bucket, version) = ("manifests".to_owned(), None);
                s.manifest.place = ManifestPlace::Object { bucket, key: "k".repeat(n), version };
            }
        };
        check("Manifest.Location", &key(1_024), &key(1_025));
        check("Manifest.Location", &key(1), &key(0));
        check("Manifest.Location", &key(1), &|s| {
            let (bucket, version) = ("manifests".to_owned(), None);
            s.manifest.place = ManifestPlace::Object { bucket, key: "a\nb".to_owned(), version };
        });
        let path = |n: usize| move |s: &mut JobSpec| s.manifest.place = ManifestPlace::File("p".repeat(n));
        check("--manifest", &path(4_096), &path(4_097));
        let region = |text: &'static str| {
            move |s: &mut JobSpec| {
                let account = AccountId::parse("123456789012").unwrap();
                s.made_by = MadeBy::Api { account, region: text.to_owned() };
            }
        };
        check("region", &region("eu-central-1"), &region("EU central"));
    }

    #[test]
    fn arguments_and_tags_have_the_bounds_of_the_api() {
        let pairs = |n: usize, name: usize, value: usize| -> Vec<(String, String)> {
            (0..n).map(|n| (format!("{}{n}", "n".repeat(name - 1)), "v".repeat(value))).collect()
        };
        let arguments = |pairs: Vec<(String, String)>, schema| {
            problems(&|s: &mut JobSpec| (s.user_arguments, s.schema) = (pairs.clone(), schema))
        };
        assert_eq!(arguments(pairs(10, 64, 1_024), Schema::V2), Vec::<&str>::new());
        assert_eq!(arguments(pairs(10, 64, 1_024), Schema::V1), ["UserArguments"]);
        assert_eq!(arguments(pairs(11, 60, 1), Schema::V2), ["UserArguments"]);
        assert_eq!(arguments(pairs(1, 65, 1), Schema::V2), ["UserArguments"]);
        assert_eq!(arguments(pairs(1, 1, 1_025), Schema::V2), ["UserArguments"]);
        assert_eq!(arguments(vec![pairs(1, 1, 0)[0].clone(); 2], Schema::V2), ["UserArguments"]);
        let tags = |pairs: Vec<(String, String)>| problems(&|s: &mut JobSpec| s.tags = pairs.clone());
        assert_eq!(tags(pairs(50, 100, 256)), Vec::<&str>::new());
        assert_eq!(tags(pairs(51, 100, 256)), ["Tags"]);
        assert_eq!(tags(pairs(1, 129, 0)), ["Tags"]);
    }

    #[test]
    fn all_problems_are_reported_together() {
        let mut spec = described();
        spec.concurrency = 0;
        spec.operation = Operation::Command(String::new());
        assert_eq!(
            spec.check().unwrap_err().to_string(),
            "Operation: expected a program after cmd:, in at most 4096 bytes on one line; --concurrency: expected 1 to \
             10000, not 0"
        );
    }
}
