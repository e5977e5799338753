//! All findings of a run, and their output.

use serde::Serialize;

use crate::words::counted;
use crate::words::table::wrapped;

use super::estimate::{self, Estimate};
use super::finding::{CheckFinding, Outcome};
use super::subject::LocationUnderCheck;

/// Findings with a common title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The title, for people.
    pub title: String,
    /// The bucket or the destination, if they concern one.
    pub subject: Option<String>,
    /// Its sources.
    pub sources: Vec<String>,
    /// The findings.
    pub findings: Vec<CheckFinding>,
}

impl Group {
    /// Findings that concern neither a bucket nor a destination.
    pub fn new(title: &str, findings: Vec<CheckFinding>) -> Self {
        Self { title: title.to_owned(), subject: None, sources: Vec::new(), findings }
    }

    /// Findings about a bucket.
    pub(super) fn of_bucket(under_check: &LocationUnderCheck, findings: Vec<CheckFinding>) -> Self {
        let bucket = under_check.location.to_string();
        Self {
            title: format!("to {bucket}, for {}", under_check.sources_in_words()),
            subject: Some(bucket),
            sources: under_check.sources.iter().map(ToString::to_string).collect(),
            findings,
        }
    }
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The groups in the order of the output.
    pub groups: Vec<Group>,
    /// The load estimate; `None` in the test of one destination.
    pub estimate: Option<Estimate>,
}

/// The number of findings by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Warnings.
    pub warnings: usize,
    /// Not tried, or without proof.
    pub not_tested: usize,
}

impl Summary {
    fn of<'a>(findings: impl IntoIterator<Item = &'a CheckFinding>) -> Self {
        let mut summary = Self::default();
        for finding in findings {
            *match finding.outcome {
                Outcome::Passed => &mut summary.passed,
                Outcome::Failed => &mut summary.failed,
                Outcome::Warning => &mut summary.warnings,
                Outcome::NotTested => &mut summary.not_tested,
            } += 1;
        }
        summary
    }

    /// The summary in one line.
    pub fn in_words(&self) -> String {
        let mut parts = vec![format!("{} passed", self.passed), format!("{} failed", self.failed)];
        if self.warnings > 0 {
            parts.push(counted(self.warnings as u64, "warning", "warnings"));
        }
        if self.not_tested > 0 {
            parts.push(format!("{} not tested", self.not_tested));
        }
        parts.join(", ")
    }
}

/// A finding as JSON, with its bucket or destination.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    finding: &'a CheckFinding,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    sources: &'a [String],
}

#[derive(Serialize)]
struct PrintedReport<'a> {
    findings: Vec<Printed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<&'a Estimate>,
    summary: Summary,
}

/// The width of a check's name: the longest one and a space.
const NAME_WIDTH: usize = 26;

impl CheckReport {
    /// The number of findings by outcome.
    pub fn summary(&self) -> Summary {
        Summary::of(self.groups.iter().flat_map(|group| &group.findings))
    }

    /// The report as JSON. Errors: the encoder's error.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&PrintedReport {
            findings: self.groups.iter().flat_map(printed).collect(),
            estimate: self.estimate.as_ref(),
            summary: self.summary(),
        })
    }

    /// The report for people: one line per check, and the remedies below.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        for group in self.groups.iter().filter(|group| !group.findings.is_empty()) {
            lines.extend(wrapped("", &group.title));
            lines.extend(group.findings.iter().flat_map(finding_lines));
            lines.push(String::new());
        }
        if let Some(estimate) = &self.estimate {
            lines.push("estimate".to_owned());
            lines.extend(estimate::lines(estimate).into_iter().map(|line| format!("  {line}")));
            lines.push(String::new());
        }
        lines.push(self.summary().in_words());
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

fn printed(group: &Group) -> impl Iterator<Item = Printed<'_>> {
    let Group { subject, sources, findings, .. } = group;
    findings.iter().map(|finding| Printed { finding, destination: subject.as_deref(), sources })
}

fn finding_lines(finding: &CheckFinding) -> Vec<String> {
    let CheckFinding { check, outcome, tried, found, log, remedies } = finding;
    let name = check.replace('_', " ");
    let mut lines = wrapped(&format!("  {} {name:NAME_WIDTH$}", outcome.mark()), found);
    if *outcome == Outcome::Failed {
        lines.extend(wrapped("      tried: ", tried));
    }
    lines.extend(log.iter().map(|line| format!("      | {line}")));
    for remedy in remedies {
        let colon = if remedy.paste.is_some() { ":" } else { "" };
        lines.extend(wrapped("      → ", &format!("{}{colon}", remedy.text)));
        let paste = remedy.paste.iter().flat_map(|paste| paste.lines());
        lines.extend(paste.map(|line| format!("          {line}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::estimate::{Load, Shape, estimate};
    use super::super::finding::{Remedy, Trial};
    use super::*;

    fn report() -> CheckReport {
        let passed = Trial::new("bucket", "HeadBucket lake").passed("lake exists");
        let fix = Remedy::paste("grant it", "{\n  \"Effect\": \"Allow\"\n}");
        let failed = Trial::new("put", "PutObject lake/x").failed("403 AccessDenied: no", vec![fix]);
        let untested = Trial::new("look", "HeadObject").not_tested("403");
        let mut group = Group::new("to lake, for source web", vec![passed, failed, untested]);
        group.subject = Some("lake".to_owned());
        group.sources = vec!["web".to_owned()];
        let shape = Shape {
            encryptions: Vec::new(),
            object_bytes: 1,
            max_age_seconds: 1,
            spool_bytes: 1,
            disk_bytes: None,
            segment_bytes: 1,
        };
        CheckReport { groups: vec![group], estimate: Some(estimate(Load::default(), &shape)) }
    }

    #[test]
    fn a_failure_is_followed_by_what_was_tried_and_its_remedies() {
        let text = report().text();
        let expected = "to lake, for source web
  ✓ bucket                    lake exists
  ✗ put                       403 AccessDenied: no
      tried: PutObject lake/x
      → grant it:
          {
            \"Effect\": \"Allow\"
          }
  – look                      403

estimate
";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("1 passed, 1 failed, 1 not tested\n"), "{text}");
    }

    #[test]
    fn the_json_has_every_finding() {
        let json: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        let put = &json["findings"][1];
        assert_eq!(put["check"], "put");
        assert_eq!(put["outcome"], "failed");
        assert_eq!(put["destination"], "lake");
        assert_eq!(put["sources"][0], "web");
        assert_eq!(put["remedies"][0]["text"], "grant it");
        assert_eq!(json["findings"][2]["outcome"], "not_tested");
        assert_eq!(json["summary"]["failed"], 1);
        assert_eq!(json["estimate"]["rate_given"], false);
    }
}
