//! Tables as people have them: from spreadsheets, with dates of their country and names of their own.

use serde_json::json;

use super::support::{Stand, rejects, values};

/// A table as a German Excel writes it.
const TABLE: &str = "\u{feff}sep=;\r\nUserID;E-Mail;Datum;Größe;\r\n7;a@example.com;25.11.2026 15:04;2;\r\n\
    8;NA;13.07.2026 15:04;NA;\r\n9;c@example.com;25.10.2026 02:30;1;\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_says_what_a_spreadsheet_needs_and_the_import_takes_it() {
    let stand = Stand::start().await;
    stand.file("identify_kunden.csv", TABLE);
    let named =
        ["identify_kunden.csv", "--map", "E-Mail=traits.email", "--map", "Datum=timestamp;größe=traits.size"];
    let tried = stand.run(&[&named[..], &["--dry-run"]].concat()).await.code(3);
    for part in [
        "identify_kunden.csv: 0 identify, 3 rejected",
        "doubt: column \"Datum\": all of its 3 cells fit the date format DD.MM.YYYY HH:mm (without one they are no times): \
         pass --date-format 'Datum=DD.MM.YYYY HH:mm'; add the zone of the times, such as Europe/Berlin",
        "doubt: column \"E-Mail\" has 1 value NA: say --null NA if they mean nothing",
        "doubt: column \"Größe\" has 1 value NA: say --null NA if they mean nothing",
    ] {
        assert!(tried.out.contains(part), "{part}: {tried:#?}");
    }
    assert!(tried.err.contains(r#"column \"UserID\" is read as \"userId\""#), "{tried:#?}");

    let said = ["--date-format", "Datum=DD.MM.YYYY HH:mm Europe/Berlin", "--null", "NA", "--types", "infer"];
    let all = [&named[..], &said].concat();
    let tried = stand.run(&[&all[..], &["--dry-run"]].concat()).await.code(3);
    assert!(tried.out.contains("2 identify, 1 rejected") && !tried.out.contains("doubt:"), "{tried:#?}");
    assert!(
        tried.err.contains("types by the first 3 rows, for the whole file: int: Größe; string: E-Mail"),
        "{tried:#?}"
    );

    let imported = stand.run(&[&all[..], &["--rejects", "kept", "--json"]].concat()).await.code(3);
    assert_eq!(imported.json()["calls"], json!({"identify": 2}), "{imported:#?}");
    // The same table is known, whatever is said about it now.
    assert_eq!(
        stand.run(&["identify_kunden.csv", "--json"]).await.code(0).json()["files"][0]["ended"],
        "done before"
    );

    let kept = stand.folder.path().join("kept");
    let mut rejected = rejects(&kept);
    assert_eq!(
        (rejected.len(), &rejected[0]["code"], &rejected[0]["line"]),
        (1, &json!("bad-time"), &json!(5))
    );
    let why = rejected[0]["message"].as_str().unwrap();
    assert!(why.contains("is two times by DD.MM.YYYY HH:mm Europe/Berlin: clocks were set back"), "{why}");
    // A correction is read by all that was said and found: it is one hour later, and its size is a number.
    rejected[0]["raw"] = "9;c@example.com;25.10.2026 03:30;3;".into();
    std::fs::write(&kept, format!("{}\n", rejected[0])).unwrap();
    let retry = ["import", "retry-rejects", "kept", "--progress", "none"];
    super::support::ran(stand.beside(&retry)).await.code(0);

    let lines = stand.lines("csv").await;
    assert_eq!(values(&lines, "/userId"), ["7", "8", "9"]);
    assert_eq!(values(&lines, "/traits/email"), ["a@example.com", "", "c@example.com"]);
    assert_eq!(values(&lines, "/traits/size"), ["2", "", "3"]);
    assert!(lines[0].contains("\"size\":2}"), "a number: {}", lines[0]);
    assert_eq!(
        values(&lines, "/timestamp"),
        ["2026-11-25T14:04:00.000Z", "2026-07-13T13:04:00.000Z", "2026-10-25T02:30:00.000Z"]
    );
}

/// A file of types says the same, and other options of the command may add to it but not contradict it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_types_says_it_too() {
    let stand = Stand::start().await;
    stand.file("identify_kunden.csv", TABLE);
    let types = json!({
        "E-Mail": {"map": "traits.email", "null": "NA"},
        "Datum": {"type": "DD.MM.YYYY HH:mm Europe/Berlin", "map": "timestamp"},
        "Größe": {"type": "int", "null": ["NA"], "map": "traits.size"},
    });
    stand.file("types.json", types.to_string());
    let file = ["identify_kunden.csv", "--types", "types.json"];
    let tried = stand.run(&[&file[..], &["--dry-run", "--samples", "1"]].concat()).await.code(3);
    let call =
        r#""userId":"7","traits":{"email":"a@example.com","size":2},"timestamp":"2026-11-25T14:04:00.000Z"}"#;
    assert!(tried.out.lines().next().unwrap().ends_with(call), "{tried:#?}");
    for (more, part) in [
        (["--map", "E-Mail=traits.mail"], "column \"E-Mail\" has two names"),
        (["--date-format", "Größe=DD.MM.YYYY"], "column \"Größe\" has two types"),
        (["--date-format", "Datum=dd.mm.yyyy"], "needs one month, MM (mm is the minute)"),
        (["--delimiter", ","], "the first line says sep=;: --delimiter names another one"),
    ] {
        let wrong = stand.run(&[&file[..], &more, &["--dry-run"]].concat()).await;
        assert!(
            wrong.code != Some(0) && (wrong.err.contains(part) || wrong.out.contains(part)),
            "{part}: {wrong:#?}"
        );
    }
    // An import by other options is another import: one that is half done is not continued.
    let half = [&file[..], &["--rows", "..1"]].concat();
    stand.run(&half).await.code(0);
    let other = stand.run(&[&file[..], &["--null", "-"]].concat()).await.code(1);
    assert!(other.out.contains("other options"), "{other:#?}");
    stand.run(&file).await.code(3);
    assert_eq!(values(&stand.lines("csv").await, "/userId"), ["7", "8"]);
}

/// Both orders of day and month fit, so a person decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_date_that_may_be_two_is_not_guessed() {
    let stand = Stand::start().await;
    stand
        .file("track_1.csv", "userId, event, timestamp, properties.due\n1, \"a, b\", 2026-11-25, 3/4/2026\n");
    let tried = stand.run(&["track_1.csv", "--dry-run"]).await.code(0);
    assert!(
        tried.out.contains(
            "doubt: column \"properties.due\": its 1 cell fits more than one date format, DD/MM/YYYY and MM/DD/YYYY (without \
             one they stay text): pass the right one with --date-format"
        ),
        "{tried:#?}"
    );
    stand.run(&["track_1.csv", "--date-format", "properties.due=MM/DD/YYYY"]).await.code(0);
    let lines = stand.lines("csv").await;
    assert_eq!(values(&lines, "/properties/due"), ["2026-03-04T00:00:00.000Z"]);
    assert_eq!(values(&lines, "/event"), ["a, b"], "a blank follows each delimiter");
}
