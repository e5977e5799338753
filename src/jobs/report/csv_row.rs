//! One row of a report.

use crate::jobs::task::{Task, TaskResult};

/// Appends the row of a task that ended.
pub fn push_row(to: &mut Vec<u8>, task: &Task, result: &TaskResult) {
    let status = if result.succeeded { "succeeded" } else { "failed" };
    let http_status = result.http_status.map_or_else(String::new, |status| status.to_string());
    let version = task.version.as_deref().unwrap_or_default();
    for field in [&task.bucket, &task.key, version, status, &http_status, &result.error_code] {
        push_field(to, field);
        to.push(b',');
    }
    push_quoted(to, &result.message);
    to.push(b'\n');
}

/// Keys are URL-encoded, so hardly any field needs quotes.
fn push_field(to: &mut Vec<u8>, field: &str) {
    match field.bytes().any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n')) {
        true => push_quoted(to, field),
        false => to.extend_from_slice(field.as_bytes()),
    }
}

fn push_quoted(to: &mut Vec<u8>, field: &str) {
    to.push(b'"');
    for (n, part) in field.split('"').enumerate() {
        if n > 0 {
            to.extend_from_slice(b"\"\"");
        }
        to.extend_from_slice(part.as_bytes());
    }
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(task: &Task, result: &TaskResult) -> String {
        let mut bytes = Vec::new();
        push_row(&mut bytes, task, result);
        String::from_utf8(bytes).unwrap()
    }

    fn task(bucket: &str, key: &str, version: Option<&str>) -> Task {
        let version = version.map(str::to_owned);
        Task { bucket: bucket.to_owned(), key: key.to_owned(), version, args: Vec::new() }
    }

    fn result(succeeded: bool, http_status: Option<u16>, error_code: &str, message: &str) -> TaskResult {
        let (error_code, message) = (error_code.to_owned(), message.to_owned());
        TaskResult { row: 0, succeeded, http_status, error_code, message }
    }

    #[test]
    fn rows_are_those_of_the_samples() {
        let message = r#"Lambda returned function error: {"errorMessage":"2019-04-05T17:35:21.155Z 2845ca0d-38d9-4c4b-abcf-379dc749c452 Task timed out after 3.00 seconds"}"#;
        assert_eq!(
            row(
                &task("awsexamplebucket1", "image_14975", None),
                &result(false, Some(200), "PermanentFailure", message)
            ),
            "awsexamplebucket1,image_14975,,failed,200,PermanentFailure,\"Lambda returned function error: \
             {\"\"errorMessage\"\":\"\"2019-04-05T17:35:21.155Z 2845ca0d-38d9-4c4b-abcf-379dc749c452 Task timed out after \
             3.00 seconds\"\"}\"\n"
        );
        assert_eq!(
            row(
                &task("awsexamplebucket1", "image_17775", None),
                &result(true, Some(200), "", "{u'ETag': '\"fe\"'}")
            ),
            "awsexamplebucket1,image_17775,,succeeded,200,,\"{u'ETag': '\"\"fe\"\"'}\"\n"
        );
        assert_eq!(
            row(&task("b", "a%2Cb", Some("v1")), &result(false, None, "PermanentFailure", "")),
            "b,a%2Cb,v1,failed,,PermanentFailure,\"\"\n"
        );
    }

    proptest! {
        #[test]
        fn any_row_reads_back_as_csv(key in "\\PC{1,30}", code in ".{0,9}", message in "(?s).{0,60}") {
            let text = row(&task("bucket", &key, Some("v")), &result(false, Some(503), &code, &message));
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
            let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            prop_assert_eq!(rows.len(), 1);
            let fields: Vec<&str> = rows[0].iter().collect();
            prop_assert_eq!(fields, ["bucket", &key, "v", "failed", "503", &code, &message]);
        }
    }
}
