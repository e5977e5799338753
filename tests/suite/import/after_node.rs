//! What a node, its commands and a server that evaluates policies make of `after`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::access::{Aws, with_role};
use super::node::{Stand, import, import_status, passed};
use crate::serve::support::{PATIENCE, ask};
use crate::support::actions::actions_of;
use crate::support::granted;
use crate::support::wait;

/// The keys of the bucket of the files.
async fn keys(stand: &Stand) -> Vec<String> {
    let client = &stand.rig.bucket("files").client;
    let page = client.list_objects_v2().bucket("files").send().await.unwrap();
    page.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imported_files_are_moved_away_once_whatever_happens_to_the_node() {
    let imports = import("orders", "bucket = \"files\"\nprefix = \"in/\"\nafter = \"move:in/done/\"")
        + &import("all", "bucket = \"other\"\nprefix = \"in/\"\nenabled = false");
    let stand = Stand::start(&imports).await;
    let names: Vec<String> = (0..12).map(|number| format!("in/{number:02} ü+%.json")).collect();
    let (mut node, mut files) = (stand.settings.serve().await, Vec::new());
    for (at, name) in names.iter().enumerate() {
        stand.put(name, 0..20).await;
        files.push((name.as_str(), 20));
        if at % 4 == 3 {
            // While it is imported and moved, or just before or after that.
            let moved = wait::until("a file that is moved", PATIENCE, async || {
                keys(&stand).await.iter().any(|key| key.starts_with("in/done/")).then_some(())
            });
            moved.await;
            node.kill().await;
            node = stand.settings.serve().await;
        }
    }
    stand.delivered(&files).await;
    let moved: Vec<String> = names.iter().map(|name| name.replace("in/", "in/done/")).collect();
    wait::until("all files to be moved", PATIENCE, async || (keys(&stand).await == moved).then_some(()))
        .await;
    let seen = passed(&node, "orders", |last| last["skipped"]["own"] == 12).await;
    let after = &seen["last"]["after"];
    assert_eq!((&after["action"], &after["waiting"]), (&"move".into(), &serde_json::json!({})), "{seen}");
    stand.delivered(&files).await;
    let metrics = String::from_utf8(ask(&node, "/metrics").await.body.to_vec()).unwrap();
    assert!(!metrics.contains("forebay_import_after_waiting{"), "{metrics}");
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_with_rejected_rows_wait_until_a_person_accepts_them() {
    let stand =
        Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"\nafter = \"delete\"")).await;
    stand.put("in/a", 0..3).await;
    for name in ["in/b", "in/c"] {
        stand.put_text(name, &format!("{{\"e\":\"{name} 0\",\"u\":\"u\"}}\nno json\n")).await;
    }
    let node = stand.settings.serve().await;
    let seen = passed(&node, "orders", |last| last["after"]["waiting"]["rejected_rows"] == 2).await;
    assert_eq!(seen["last"]["after"]["rejected_rows"], 2, "{seen}");
    assert_eq!(keys(&stand).await, ["in/b", "in/c"]);
    let metrics = String::from_utf8(ask(&node, "/metrics").await.body.to_vec()).unwrap();
    for line in [
        "forebay_import_after_waiting{import=\"orders\",became=\"rejected_rows\"} 2",
        "forebay_import_after_total{import=\"orders\",became=\"deleted\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let at = ["--admin", node.console.as_str()];
    let shown = stand.command(&["status", "orders"], &at).await.code(0);
    assert!(shown.out.contains("2 files to delete: 2 with 2 rejected rows"), "{shown:?}");
    assert!(
        shown.out.contains("`forebay import reset-file orders in/b --accept-rejects --admin http://"),
        "{shown:?}"
    );
    let none = stand.command(&["reset-file", "orders", "in/a", "--accept-rejects"], &at).await.code(2);
    assert!(none.err.contains("in/a has no rejected rows that wait"), "{none:?}");
    let one = stand.command(&["reset-file", "orders", "in/b", "--accept-rejects"], &at).await.code(0);
    assert!(one.out.contains("s3://files/in/b\n1 rejected row of 1 file accepted"), "{one:?}");
    wait::until("the file to be deleted", PATIENCE, async || (keys(&stand).await == ["in/c"]).then_some(()))
        .await;
    assert!(node.terminate().await.success());
    // The same without a node, for all of them.
    let config = stand.settings.write().to_str().unwrap().to_owned();
    let own = ["--config", config.as_str()];
    let all = stand.command(&["reset-file", "orders", "--failed", "--accept-rejects"], &own).await.code(0);
    assert!(all.out.contains("s3://files/in/c\n1 rejected row of 1 file accepted"), "{all:?}");
    let ran = stand.command(&["run", "orders"], &own).await.code(0);
    assert!(ran.out.contains("1 deleted"), "{ran:?}");
    assert_eq!(keys(&stand).await, [""; 0]);
    stand.delivered(&[("in/a", 3), ("in/b", 1), ("in/c", 1)]).await;
}

/// A right that is missing shows, and the printed policy grants it; nothing is asked for that it does not grant.
#[tokio::test]
async fn the_printed_policy_is_enough_for_each_value() {
    for (after, sids, done) in [
        ("tag", &["ImportTags"][..], "1 tagged"),
        ("delete", &["ImportDeletes"][..], "1 deleted"),
        ("move:done/", &["ImportReadsTags", "ImportPutsCopies", "ImportDeletes"][..], "1 moved"),
    ] {
        let Some(aws) = Aws::start(&format!("{}\nafter = \"{after}\"", with_role())).await else { return };
        let reads = aws.site.policy("import-read-prefix", &[]).await;
        aws.make_role(&reads).await;
        aws.site.write_converter();
        let tested = aws.site.test().await;
        tested.expect(
            "after",
            "not_tested",
            &["would change files", "forebay policy import-after --import orders"],
        );
        if after == "delete" {
            assert_eq!(tested.code, 0, "{tested:#?}");
        } else {
            assert_eq!(tested.code, 5, "{tested:#?}");
            tested.expect("get_tags", "failed", &["403"]);
        }
        let pass = aws.site.run(&["import", "run", "orders", "--json"]).await.code(5);
        let json: Value = serde_json::from_str(&pass.out).unwrap();
        assert_eq!(json["files"]["done"], 1, "the import goes on: {json:#}");
        assert_eq!(json["after"]["waiting"]["denied"], 1, "{json:#}");
        let remedy = json["after"]["remedies"][0].as_str().unwrap();
        assert!(remedy.contains("`forebay policy import-after --import orders` prints it"), "{json:#}");
        let granted_sid = |grant: &Value| {
            let statement: Value = serde_json::from_str(grant["statement"].as_str()?).unwrap();
            Some(statement["Sid"].as_str().unwrap().to_owned())
        };
        let named: BTreeSet<String> =
            json["grants"].as_array().unwrap().iter().filter_map(granted_sid).collect();
        assert!(named.iter().all(|sid| sids.contains(&sid.as_str())) && !named.is_empty(), "{json:#}");

        let may = aws.site.policy("import-after", &[]).await;
        let statements = may["Statement"].as_array().unwrap();
        let printed: Vec<&str> = statements.iter().map(|one| one["Sid"].as_str().unwrap()).collect();
        assert_eq!(printed, sids, "only what it needs");
        let all: Vec<Value> = [reads["Statement"].as_array().unwrap().as_slice(), statements].concat();
        aws.may(&all).await;
        if after != "delete" {
            aws.site.test().await.expect("get_tags", "passed", &[]);
        }
        let pass = aws.site.run(&["import", "run", "orders"]).await.code(0);
        assert!(pass.out.contains(done), "{pass:?}");
        let keys = aws.lake.client.list_objects_v2().bucket("lake").send().await.unwrap();
        let keys: Vec<&str> = keys.contents().iter().map(|object| object.key().unwrap()).collect();
        let expected: &[&str] = match after {
            "tag" => &["orders/1.json", "other/1.json"],
            "delete" => &["other/1.json"],
            _ => &["done/1.json", "other/1.json"],
        };
        assert_eq!(keys, expected);
        // Without one of the statements it is not done.
        for left_out in sids {
            aws.put(&format!("orders/without-{left_out}.json")).await;
            let others: Vec<Value> = all.iter().filter(|one| one["Sid"] != *left_out).cloned().collect();
            aws.may(&others).await;
            let ran = aws.site.run(&["import", "run", "orders", "--json"]).await;
            let json: Value = serde_json::from_str(&ran.out).unwrap();
            // This server does not ask for the right to read the tags of what is copied.
            if *left_out != "ImportReadsTags" {
                assert_eq!((ran.code, &json["after"]["waiting"]["denied"]), (Some(5), &1.into()), "{json:#}");
            }
            aws.may(&all).await;
            aws.site.run(&["import", "run", "orders"]).await.code(0);
        }
        let requests = aws.server.recorder.requests();
        let of_import = requests.iter().filter(|request| request.target.starts_with("/lake"));
        let sent: BTreeSet<String> = of_import.flat_map(actions_of).collect();
        let mut may = granted::actions_of("import-read-prefix");
        may.extend(granted::actions_of("import-after"));
        assert!(sent.is_subset(&may), "{sent:?}");
    }
}

/// The alarm and the status of a node say what to allow, and end once it is allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_is_an_alarm_of_the_node() {
    let Some(aws) = Aws::start(&format!("{}\nafter = \"delete\"", with_role())).await else { return };
    let reads = aws.site.policy("import-read-prefix", &[]).await;
    aws.make_role(&reads).await;
    aws.site.write_converter();
    let node = aws.site.serve().await;
    let seen = passed(&node, "orders", |last| last["after"]["waiting"]["denied"] == 1).await;
    let remedy = seen["last"]["after"]["remedies"][0].as_str().unwrap().to_owned();
    assert!(
        remedy.contains("s3:DeleteObject on lake: `forebay policy import-after --import orders`"),
        "{seen}"
    );
    let alarms = async || crate::serve::support::status(&node).await["alarms"].to_string();
    let alarm = "import orders cannot delete 1 file that it has imported, the first s3://lake/orders/1.json";
    wait::until("the alarm", PATIENCE, async || alarms().await.contains(alarm).then_some(())).await;
    let may = aws.site.policy("import-after", &[]).await;
    let statements =
        [reads["Statement"].as_array().unwrap().as_slice(), may["Statement"].as_array().unwrap()];
    aws.may(&statements.concat()).await;
    passed(&node, "orders", |last| last["listed"] == 0).await;
    wait::until("the end of the alarm", PATIENCE, async || (!alarms().await.contains(alarm)).then_some(()))
        .await;
    assert_eq!(import_status(&node, "orders").await["last"]["after"]["waiting"], serde_json::json!({}));
    assert!(node.terminate().await.success());
}
