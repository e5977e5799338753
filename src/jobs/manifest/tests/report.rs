use super::*;

const SUCCEEDED: &str = "awsexamplebucket1,a,,succeeded,200,,\"{\"\"requestId\"\": \"\"x\"\"}\"\n";
/// Rows as the documentation of S3 has them.
const FAILED: &str = "awsexamplebucket1,image_14975,,failed,200,PermanentFailure,\"Lambda returned function error: \
                      {\"\"errorMessage\"\":\"\"Task timed out after 3.00 seconds\"\"}\"\n\
                      awsexamplebucket1,%7B%22a%22%3A1%7D,,failed,200,PermanentFailure,\"two\nlines\"\n";

/// A report with these files.
fn report(results: &[(&str, &str)]) -> Files {
    let (mut files, mut listed) = (Files::default(), Vec::new());
    for (at, (status, text)) in results.iter().enumerate() {
        let (key, md5) = (format!("reports/job-1/results/{at}.csv"), md5_of(text.as_bytes()));
        listed.push(format!(
            "{{\"TaskExecutionStatus\": \"{status}\", \"Bucket\": \"my-job-reports\", \"MD5Checksum\": \"{md5}\", \
             \"Key\": \"{key}\"}}"
        ));
        files = files.with_object("my-job-reports", &key, *text);
    }
    let manifest = format!(
        "{{\n    \"Format\": \"Report_CSV_20180820\",\n    \"ReportCreationDate\": \"2019-04-05T17:48:39.725Z\",\n    \
         \"Results\": [{}],\n    \"ReportSchema\": \"Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, \
         ResultMessage\"\n}}",
        listed.join(",\n")
    );
    Files { manifest: manifest.into_bytes(), ..files }
}

fn replaced(files: Files, from: &str, to: &str) -> Files {
    let text = String::from_utf8(files.manifest).unwrap();
    assert!(text.contains(from), "{from}");
    Files { manifest: text.replace(from, to).into_bytes(), ..files }
}

#[test]
fn only_failed_tasks_are_read() {
    let files = report(&[("succeeded", SUCCEEDED), ("failed", FAILED), ("failed", FAILED)]);
    let (tasks, read) = read(&files).unwrap();
    let failed = ["awsexamplebucket1|image_14975", "awsexamplebucket1|%7B%22a%22%3A1%7D"];
    assert_eq!(short(&tasks), [failed, failed].concat());
    assert_eq!(read.form, ManifestForm::EarlierReport);
    assert!(read.not_compared.is_some());
    let progress = Progress::default();
    read_manifest(&files, &Wanted::default(), &progress, &mut |_| Ok(())).unwrap();
    assert_eq!(progress.bytes(), progress.bytes_expected());
    let md5 = md5_of(&files.manifest);
    let compared = super::read(&files.clone().with_beside("manifest.json.md5", md5)).unwrap().1;
    assert_eq!(compared.not_compared, None);
    let wrong = files.with_beside("manifest.json.md5", md5_of(b""));
    check_refused(&wrong, &Wanted::default(), "and manifest.json.md5 says");
    // Files of succeeded tasks are not even opened.
    let mut files = report(&[("succeeded", SUCCEEDED), ("Failed", FAILED)]);
    files.objects.remove(&("my-job-reports".to_owned(), "reports/job-1/results/0.csv".to_owned()));
    assert_eq!(super::read(&files).unwrap().0.len(), 2);
    let arn =
        replaced(report(&[("failed", FAILED)]), "\"my-job-reports\"", "\"arn:aws:s3:::my-job-reports\"");
    assert_eq!(super::read(&arn).unwrap().0.len(), 2);
}

#[test]
fn other_reports_are_refused() {
    let check = |files: &Files, says: &str| check_refused(files, &Wanted::default(), says);
    let good = || report(&[("failed", FAILED)]);
    check(
        &report(&[("succeeded", SUCCEEDED)]),
        "the report has no failed task, so there is nothing to run again",
    );
    check(&report(&[]), "the report has no failed task");
    check(
        &report(&[("failed", SUCCEEDED)]),
        "line 1 of reports/job-1/results/0.csv: the task's status is \"succeeded\"",
    );
    check(&report(&[("unknown", FAILED)]), "the status \"unknown\" is neither succeeded nor failed");
    check(
        &report(&[("failed", "b,k,,failed\n")]),
        "line 1 of reports/job-1/results/0.csv: the row has 4 columns",
    );
    check(
        &replaced(good(), "Report_CSV_20180820", "Report_CSV_2"),
        "the report's format is \"Report_CSV_2\"",
    );
    // As a report of tasks with arguments of their own says.
    check(
        &replaced(good(), "\"ReportSchema\"", "\"FailedTasksHadArgs\": true, \"ReportSchema\""),
        "failed tasks of the report had args of their own",
    );
    check(&replaced(good(), "Bucket, Key, ", "Bucket, Keys, "), "the schema names no column Key");
    let damaged =
        good().with_object("my-job-reports", "reports/job-1/results/0.csv", FAILED.replace("14975", "14976"));
    check(&damaged, "reports/job-1/results/0.csv: the file's MD5 is");
}
