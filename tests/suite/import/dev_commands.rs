//! Commands about imports with a file that only `forebay dev` takes, and with names that no import has.

use std::fs;
use std::path::Path;

use super::node::{Stand as Node, import};
use super::support::{Ran, ran};
use crate::serve::support::PATIENCE;
use crate::support::forebay::{Flush, Forebay, Starting, command};
use crate::support::wait;

const PAGE: &str = include_str!("../../../docs/s3-import.md");

const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","event"],"user_id":["path","user_id"]}}}"#;

/// `forebay dev` with a file that has an import of its own bucket, and nothing else.
async fn dev(folder: &Path, converter: &str) -> Forebay {
    let file = folder.join("dev.toml");
    fs::write(folder.join("c.json"), converter).unwrap();
    fs::write(&file, import("orders", "bucket = \"forebay\"\nprefix = \"in/\"\nenabled = false")).unwrap();
    let more = ["--config", file.to_str().unwrap()];
    let node = Starting::dev_with(&folder.join("dev"), Flush::SOON, &more).dev_ready().await;
    for key in ["in/orders-1.json", "other/x"] {
        let body: Vec<u8> = (0..20)
            .flat_map(|row| format!("{{\"event\":\"buy\",\"user_id\":\"u{row}\"}}\n").into_bytes())
            .collect();
        node.bucket().client.put_object().bucket("forebay").key(key).body(body.into()).send().await.unwrap();
    }
    node
}

/// A command in the folder, without credentials of AWS, that is told where the S3 of this `dev` is.
async fn run(folder: &Path, s3: &str, words: &[&str]) -> Ran {
    let mut command = command();
    let credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"];
    credentials.iter().for_each(|name| _ = command.env_remove(name));
    command.args(words).current_dir(folder).env("FOREBAY_STATE", folder.join("state"));
    command.env("FOREBAY_S3_ENDPOINT_URL", s3).env("AWS_EC2_METADATA_DISABLED", "true");
    ran(command).await
}

/// They demanded `[s3]` and a source, which `dev` makes up by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_take_a_file_that_dev_takes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let node = dev(folder, CONVERTER).await;
    let (s3, admin) = (node.s3.clone(), node.console.clone());
    let run = async |words: &[&str]| run(folder, &s3, words).await;
    let own = ["--config", "dev.toml"];

    let tested = run(&[&["import", "test-credentials", "orders"], &own[..]].concat()).await.code(0);
    assert!(tested.out.contains("s3://forebay/in/ can be listed (1 object)"), "{tested:?}");
    assert!(tested.err.contains("it is read as `forebay dev --config FILE` reads it"), "{tested:?}");
    let shown = run(&[&["import", "preview", "orders"], &own[..]].concat()).await.code(0);
    assert!(shown.out.contains("s3://forebay/in/orders-1.json"), "{shown:?}");
    let printed =
        run(&[&["policy", "import-read-prefix", "--import", "orders"], &own[..]].concat()).await.code(0);
    assert!(printed.out.contains("arn:aws:s3:::forebay/in/*"), "{printed:?}");
    let at = ["--config", "dev.toml", "--admin", admin.as_str()];
    let listed = run(&[&["import", "status", "orders"], &at[..]].concat()).await.code(0);
    assert!(listed.out.contains("s3://forebay/in/ into csv"), "{listed:?}");

    // The converter need not be there yet; the name of the import says which file.
    fs::remove_file(folder.join("c.json")).unwrap();
    let inferred = run(&[&["import", "infer-converter", "orders"], &own[..]].concat()).await.code(0);
    assert!(
        inferred.out.contains("\"fileType\": \"json\"") && inferred.out.contains("\"user_id\": \"user_id\""),
        "{inferred:?}"
    );
    let wrong = run(&[&["import", "infer-converter", "order"], &own[..]].concat()).await.code(2);
    assert!(
        wrong.err.contains("the configuration has no [[import]] order: did you mean orders?"),
        "{wrong:?}"
    );

    // Without the node there is no spool to work in, and none is made.
    fs::write(folder.join("c.json"), CONVERTER).unwrap();
    assert!(node.terminate().await.success());
    let alone = run(&[&["import", "run", "orders"], &at[..]].concat()).await.code(4);
    for said in ["start `forebay dev` with this configuration", "s3.bucket, and a [[source]]"] {
        assert!(alone.err.contains(said), "{said}: {alone:?}");
    }
    assert!(!folder.join("forebay-data").exists());
}

/// They showed objects that the import never reads, such as the calls of `dev` in the same bucket, and left out names
/// that begin with a dot, which it does read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_and_a_first_converter_are_of_files_that_the_import_reads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let lines = "bucket = \"forebay\"\nafter = \"move:done/\"\nmax_size = \"100 kB\"\nenabled = false";
    fs::write(folder.join("c.json"), CONVERTER).unwrap();
    fs::write(folder.join("dev.toml"), import("orders", lines)).unwrap();
    let node = Forebay::dev(&folder.join("dev"), Flush::SOON).await;
    let put = async |key: &str, body: &str| {
        let client = &node.bucket().client;
        client
            .put_object()
            .bucket("forebay")
            .key(key)
            .body(body.as_bytes().to_vec().into())
            .send()
            .await
            .unwrap();
    };
    let row = "{\"event\":\"buy\",\"user_id\":\"ann\"}\n";
    for key in ["done/x.json", "segment-logs/csv/x.json"] {
        put(key, "{\"none\":1}\n").await;
    }
    put("huge.json", &row.repeat(10_000)).await;
    let own = ["--config", "dev.toml"];
    let none = run(folder, &node.s3, &[&["import", "preview", "orders"], &own[..]].concat()).await.code(2);
    let said = "no object in s3://forebay/ that the import reads (its settings skip 3 objects)";
    assert!(none.err.contains(said), "{none:?}");
    put("days/.day-1.json", row).await;
    let shown = run(folder, &node.s3, &[&["import", "preview", "orders"], &own[..]].concat()).await.code(0);
    assert!(
        shown.out.contains("s3://forebay/days/.day-1.json")
            && shown.out.contains("1 row would become 1 call"),
        "{shown:?}"
    );
    let infer = [&["import", "infer-converter", "orders"], &own[..]].concat();
    let inferred = run(folder, &node.s3, &infer).await.code(0);
    assert!(inferred.out.contains("\"user_id\": \"user_id\""), "{inferred:?}");
    assert!(node.terminate().await.success());
}

/// The first section of the page, from its text alone: infer, preview, import, lines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_followed_on_the_s3_of_dev() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_, section) = PAGE.split_once("## Try it on this machine").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let (_, toml) = section.split_once("```toml\n").unwrap();
    fs::write(folder.join("dev.toml"), toml.split_once("```").unwrap().0).unwrap();
    let (_, row) = section.split_once("echo '").unwrap();
    let row = format!("{}\n", row.split_once('\'').unwrap().0);
    let data = folder.join("dev");
    let put = async |node: &Forebay, key: &str| {
        assert!(section.contains(&format!("aws s3 cp day-1.json s3://forebay/{key}\n")), "{key}");
        let body = row.clone().into_bytes().into();
        node.bucket().client.put_object().bucket("forebay").key(key).body(body).send().await.unwrap();
    };

    let node = Forebay::dev(&data, Flush::SOON).await;
    put(&node, "orders/day-1.json").await;
    let said = |command: &str| section.contains(&format!("    forebay {command}"));
    let infer = "import infer-converter orders --config dev.toml";
    assert!(said(&format!("{infer} > orders.converter.json\n")));
    let inferred = run(folder, &node.s3, &infer.split(' ').collect::<Vec<_>>()).await.code(0);
    assert!(inferred.err.contains("1 row of the sample becomes 1 call"), "{inferred:?}");
    fs::write(folder.join("orders.converter.json"), &inferred.out).unwrap();
    let preview = "import preview orders --config dev.toml";
    assert!(said(&format!("{preview}\n")));
    let shown = run(folder, &node.s3, &preview.split(' ').collect::<Vec<_>>()).await.code(0);
    assert!(shown.out.contains("1 row would become 1 call; 0 rejected"), "{shown:?}");
    assert!(node.terminate().await.success());

    assert!(said("dev --config dev.toml\n"));
    let file = folder.join("dev.toml");
    let node =
        Starting::dev_with(&data, Flush::SOON, &["--config", file.to_str().unwrap()]).dev_ready().await;
    put(&node, "orders/day-2.json").await;
    let lines = wait::until("both rows", PATIENCE, async || {
        let lines = node.bucket().lines("csv").await;
        (lines.len() >= 2).then_some(lines)
    })
    .await;
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("\"userId\":\"ann\"")), "{lines:?}");
    assert!(node.terminate().await.success());
}

/// What is missing of a configuration is named, if it is more than a file of `dev`.
#[tokio::test]
async fn a_file_that_has_a_bucket_for_calls_needs_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[s3]\nbucket = \"calls\"\n{}", import("orders", "bucket = \"files\""));
    fs::write(folder.path().join("half.toml"), text).unwrap();
    let words = ["import", "test-credentials", "orders", "--config", "half.toml"];
    let half = run(folder.path(), "", &words).await.code(2);
    assert!(half.err.contains("[[source]]"), "{half:?}");
}

/// `list` said "nothing was imported yet" of an import that does not exist.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_no_import_has_is_refused_by_each_command() {
    let stand = Node::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"")).await;
    let config = stand.settings.write().to_str().unwrap().to_owned();
    let own = ["--config", config.as_str()];
    let instance = "0123456789abcdef0123456789abcdef";
    let commands: [&[&str]; 8] = [
        &["status", "ordres"],
        &["pause", "ordres"],
        &["resume", "ordres"],
        &["run", "ordres"],
        &["reset-file", "ordres", "in/a"],
        &["reset-file", "ordres", "--failed"],
        &["retry-rejects", "--import", "ordres"],
        &["release", "ordres", "--instance", instance],
    ];
    let said = "the configuration has no [[import]] ordres: did you mean orders?";
    let alone: [&[&str]; 4] = [
        &["preview", "ordres"],
        &["infer-converter", "ordres"],
        &["test-credentials", "ordres"],
        &["setup-notifications", "ordres"],
    ];
    let listed: [&[&str]; 3] = [
        &["list", "--import", "ordres"],
        &["list", "--import", "ordres", "--only", "done", "--json"],
        &["list", "--import", "ordres", "--only", "claimed"],
    ];
    for words in commands.into_iter().chain(alone).chain(listed) {
        let ran = stand.command(words, &own).await.code(2);
        assert!(ran.err.contains(said), "{words:?}: {ran:?}");
    }
    let node = stand.settings.serve().await;
    let at = ["--admin", node.console.as_str()];
    for words in commands.into_iter().chain(listed) {
        let ran = stand.command(words, &at).await.code(2);
        assert!(ran.err.contains(said), "{words:?}: {ran:?}");
    }
    let none = ["list", "--import", "orders", "--only", "given_up"];
    assert_eq!(stand.command(&none, &at).await.code(0).out, "no file is given up\n");
    let gone = node.console.clone();
    assert!(node.terminate().await.success());
    // The configuration leads to the spool, and without one nothing answers.
    assert_eq!(stand.command(&none, &own).await.code(0).out, "no file is given up\n");
    let nobody = stand.command(&none, &["--admin", gone.as_str()]).await.code(4);
    assert!(nobody.err.contains("--config"), "{nobody:?}");
}
