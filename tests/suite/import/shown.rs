//! What the admin listener shows of imports.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::support::{Stand, ran};
use crate::serve::support::ask;

async fn imports(stand: &Stand, query: &str) -> Value {
    let answer = ask(&stand.node, &format!("/api/imports{query}")).await;
    assert!(answer.status.is_success(), "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imports_are_shown_with_what_became_of_their_rows() {
    let stand = Stand::start().await;
    assert_eq!(
        imports(&stand, "").await,
        json!({"imports": [], "total": 0, "loading": false, "problem": null})
    );
    stand.file("track_1.csv", "userId,event,timestamp\nu1,e,2026-11-21\nu2,e,soon\nu3,e,never\nu4,e\n");
    stand.run(&["track_1.csv", "--on-row-error", "reject"]).await.code(3);
    let answer = imports(&stand, "").await;
    let import = &answer["imports"][0];
    assert_eq!(
        (&answer["total"], &import["state"], &import["source"]),
        (&json!(1), &json!("done"), &json!("csv")),
        "{answer}"
    );
    assert!(import["what"].as_str().unwrap().ends_with("track_1.csv"), "{import}");
    let counts =
        ["rows_read", "stored", "repeated", "refused", "rejected"].map(|name| import[name].as_u64().unwrap());
    assert_eq!(counts, [4, 1, 0, 0, 3]);
    assert!(import["ended_ms"].as_i64() >= import["begun_ms"].as_i64(), "{import}");
    let errors = import["errors"].as_array().unwrap();
    assert_eq!((&errors[0]["code"], &errors[0]["count"]), (&json!("bad-time"), &json!(2)), "{import}");
    assert!(
        errors[0]["example"].as_str().unwrap().starts_with("line 3: column timestamp is not a time"),
        "{import}"
    );
    assert_eq!((&errors[1]["code"], &errors[1]["count"]), (&json!("width"), &json!(1)));

    assert_eq!((&import["attempts"], &import["next"]), (&json!(0), &Value::Null));
    let rejects = import["rejects_file"].as_str().unwrap();
    assert!(Path::new(rejects).is_absolute() && fs::exists(rejects).unwrap(), "{import}");

    let first_id = import["id"].clone();

    // The command that it names imports them, once they are corrected.
    let corrected =
        fs::read_to_string(rejects).unwrap().replace("soon", "2026-11-21").replace("never", "2026-11-21");
    fs::write(rejects, corrected).unwrap();
    let words = shlex::split(import["retry"].as_str().unwrap()).unwrap();
    assert_eq!(words, ["forebay", "import", "retry-rejects", rejects, "--source", "csv"]);
    let retry = stand.beside(&words[1..]);
    assert_eq!(ran(retry).await.code(3).out.lines().nth(2), Some("  calls:    2 track"));
    let listed = ran(stand.beside(&["import", "list", "--limit", "2"])).await.code(0);
    let command = format!("  retry:    {} --admin {}", words.join(" "), stand.node.console);
    assert!(listed.out.contains("2 imports") && listed.out.contains(&command), "{listed:?}");
    assert!(listed.out.contains("  rejected: 2 rows bad-time, first line 3: column timestamp"), "{listed:?}");
    // One of the three rows is left: the retry rejected it again, and only the first import asks for it.
    let counts = async || {
        let all = imports(&stand, "").await;
        let of_one = |import: &Value| {
            ["rejected", "sent_again", "rejected_again"].map(|name| import[name].as_u64().unwrap())
        };
        let one = |is_retry: bool| {
            let mut found = all["imports"].as_array().unwrap().iter();
            let wanted =
                |import: &&Value| import["what"].as_str().unwrap().ends_with("(rejected rows)") == is_retry;
            found.find(wanted).unwrap_or_else(|| panic!("{all}")).clone()
        };
        (
            of_one(&one(false)),
            one(false)["retry"].is_string(),
            of_one(&one(true)),
            one(true)["retry"].is_string(),
        )
    };
    assert_eq!(counts().await, ([1, 2, 0], true, [0, 0, 1], false));
    assert!(listed.out.contains("track_1.csv into csv: done, but 1 row is rejected\n"), "{listed:?}");
    assert!(listed.out.contains("1 rejected, 2 rejected first and sent again\n"), "{listed:?}");
    let listed: Value =
        serde_json::from_str(&ran(stand.beside(&["import", "list", "--json"])).await.out).unwrap();
    assert_eq!(listed, imports(&stand, "").await);

    // The last row is corrected too: nothing is left, and nothing is asked for.
    let lines = fs::read_to_string(rejects).unwrap();
    let corrected: Vec<String> = lines
        .lines()
        .map(|line| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            if row["code"] == "width" {
                row["raw"] = "u4,e,2026-11-21".into();
            }
            row.to_string() + "\n"
        })
        .collect();
    fs::write(rejects, corrected.concat()).unwrap();
    let again = ran(stand.beside(&words[1..])).await.code(0);
    assert!(again.out.contains("repeated: 2 "), "{again:?}");
    let all = imports(&stand, "").await;
    let first = all["imports"].as_array().unwrap().iter().find(|import| import["id"] == first_id).unwrap();
    assert_eq!(
        (&first["rejected"], &first["sent_again"], &first["retry"]),
        (&json!(0), &json!(3), &Value::Null),
        "{all}"
    );
    let listed = ran(stand.beside(&["import", "list"])).await.code(0);
    assert!(listed.out.contains("track_1.csv into csv: done\n"), "{listed:?}");
    assert!(!listed.out.contains("retry:"), "{listed:?}");

    // A file that fails has the rows that made it fail, once, however often it is tried.
    stand.file("track_2.csv", "userId,event\n,e\n");
    for _ in 0..3 {
        stand.run(&["track_2.csv", "--on-row-error", "fail"]).await.code(1);
    }
    let answer = imports(&stand, "?limit=1").await;
    let import = &answer["imports"][0];
    assert_eq!(
        (&answer["total"], &import["state"], &import["attempts"]),
        (&json!(4), &json!("given_up"), &json!(3)),
        "{answer}"
    );
    assert!(import["why"].as_str().unwrap().starts_with("E-ROWS: 1 of 1 rows are rejected"), "{import}");
    assert_eq!((&import["errors"][0]["count"], &import["errors"][1]), (&json!(1), &Value::Null), "{import}");
    assert!(import["next"].as_str().unwrap().contains("--force"), "{import}");
    assert!(fs::exists(import["rejects_file"].as_str().unwrap()).unwrap(), "{import}");
    assert_eq!(answer["imports"].as_array().unwrap().len(), 1);

    // The journal is read again after a restart.
    let data = stand.folder.path().join("dev");
    assert!(fs::exists(data.join("spool/imports.redb")).unwrap());
    let before = imports(&stand, "").await;
    let Stand { folder, node } = stand;
    assert!(node.terminate().await.success());
    let node = crate::support::forebay::Forebay::dev(&data, crate::support::forebay::Flush::LATE).await;
    let stand = Stand { folder, node };
    assert_eq!(imports(&stand, "").await, before);
}
