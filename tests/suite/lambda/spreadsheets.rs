//! Tables from spreadsheets in a function: what the command takes as options, a function takes as variables.

use std::time::Duration;

use serde_json::json;

use super::events::s3;
use super::support::Stand;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_dates_nulls_and_types_are_variables() {
    let stand = Stand::start().await;
    let table = "\"sep=;\"\r\nUserID;Kontakt;Datum;Umsatz;\r\n7;a@example.com;25.11.2026 15:04;1.50;\r\n\
        8;b@example.com;13.07.2026 15:04;NA;\r\n9;c@example.com;soon;3;\r\n";
    stand.put("identify_1.csv", table).await;
    let instance = stand.instance(&[
        ("FOREBAY_CSV_MAP", "Kontakt=traits.email;Datum=timestamp"),
        ("FOREBAY_CSV_DATE_FORMAT", "Datum=DD.MM.YYYY HH:mm Europe/Berlin"),
        ("FOREBAY_CSV_NULL", "\\N,NA"),
        ("FOREBAY_CSV_TYPES", "infer"),
    ]);
    let answered = stand.api.invoke(&s3("forebay", &["identify_1.csv"]), LONG).await.unwrap();
    let file = &answered["files"][0];
    assert_eq!((&file["rows"], &file["rejected"]), (&json!(3), &json!(1)), "{}", instance.log());
    assert_eq!(stand.delivered("/traits/email").await, ["a@example.com", "b@example.com"]);
    assert_eq!(stand.delivered("/timestamp").await, ["2026-07-13T13:04:00.000Z", "2026-11-25T14:04:00.000Z"]);
    let lines = stand.bucket().lines("shop").await;
    assert_eq!(lines.iter().filter(|line| line.contains("\"Umsatz\":1.50")).count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("Umsatz")).count(), 1, "{lines:?}");
    let log = instance.log();
    assert!(log.contains("the types of 2 columns are those of the first 3 rows"), "{log}");
    assert!(!log.contains("Umsatz") && !log.contains("Kontakt"), "names of columns are private: {log}");

    stand.api.end([instance]).await;
    let wrong = stand.instance(&[("FOREBAY_CSV_DATE_FORMAT", "Datum=dd.mm.yyyy")]).exit().await;
    assert_eq!(wrong, Some(2));
    let error = stand.api.init_error().unwrap();
    assert!(
        error.contains("FOREBAY_CSV_DATE_FORMAT: ") && error.contains("MM (mm is the minute)"),
        "{error}"
    );
}
