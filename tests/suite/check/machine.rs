//! Checks that need no store: the configuration, TLS files, ports, the estimate. Nothing listens at the
//! address of the store.

use std::fs;

use rcgen::{CertificateParams, KeyPair};

use super::{Setup, expect};

fn setup() -> Setup {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    Setup::new(&format!("http://{free}"), "key", "secret").s3("bucket = \"lake\"").source("web", "")
}

#[tokio::test]
async fn a_missing_store_is_found_and_everything_else_is_checked() {
    let ran = setup().run().await;
    assert_eq!(ran.code, 1);
    expect(ran.of("identity"), "not_tested", &["not required without a role"]);
    expect(ran.of("bucket"), "failed", &["nothing listens at that address", "s3.endpoint_url"]);
    expect(ran.of("region"), "not_tested", &["did not answer"]);
    expect(ran.of("put"), "not_tested", &["did not answer"]);
    expect(ran.of("clock"), "not_tested", &[]);
    expect(ran.of("spool"), "passed", &["can be created"]);
    expect(ran.of("listen"), "passed", &[]);
}

#[tokio::test]
async fn a_missing_token_service_fails_only_with_a_role() {
    let role = "role_arn = \"arn:aws:iam::111122223333:role/writer\"";
    let ran = setup().source("ios", role).run().await;
    expect(ran.of("identity"), "failed", &["s3.sts_endpoint_url"]);
    expect(ran.of("role"), "failed", &["nothing listens at that address"]);
}

#[tokio::test]
async fn an_invalid_configuration_is_reported_as_serve_reports_it() {
    let mut wrong = setup();
    wrong.spool.push_str("\nmax_byte = 1");
    let output = wrong.output(&[]).await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("forebay.toml has 1 problem") && said.contains("max_byte"), "{said}");
    let serve = crate::support::forebay::run(&["serve", "--config", wrong.file().to_str().unwrap()]).await;
    assert_eq!(said, String::from_utf8(serve.stderr).unwrap());
    let output = setup().output(&["--source", "ios"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no source ios"));
}

#[tokio::test]
async fn tls_files_are_read_and_compared_with_the_public_host() {
    let key = KeyPair::generate().unwrap();
    let certificate = |names: &[&str], until: i32| {
        let mut about =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        about.not_after = rcgen::date_time_ymd(until, 1, 1);
        about.self_signed(&key).unwrap().pem()
    };
    let check = async |pem: &str, outcomes: [&str; 3]| {
        let mut setup = setup();
        let (cert, secret) = (setup.folder.path().join("crt"), setup.folder.path().join("key"));
        fs::write(&cert, pem).unwrap();
        fs::write(&secret, key.serialize_pem()).unwrap();
        setup.collector.push_str(&format!(
            "\ntls_listen = \"127.0.0.2:0\"\ntls_cert = \"{}\"\ntls_key = \"{}\"\npublic_host = \
             \"collect.example.com:8443\"",
            cert.display(),
            secret.display()
        ));
        let ran = setup.run().await;
        expect(ran.of("tls_listen"), "passed", &[]);
        expect(ran.of("tls_files"), outcomes[0], &[]);
        if outcomes[0] == "passed" {
            expect(ran.of("tls_validity"), outcomes[1], &[]);
            expect(ran.of("tls_names"), outcomes[2], &[]);
        }
    };
    check(&certificate(&["collect.example.com"], 4_000), ["passed", "passed", "warning"]).await;
    check(&certificate(&["collect.example.com"], 2_000), ["passed", "failed", "warning"]).await;
    check(&certificate(&["other.example.com"], 4_000), ["passed", "passed", "failed"]).await;
    check("nothing", ["failed", "", ""]).await;
}

#[tokio::test]
async fn a_pipe_instead_of_a_tls_file_does_not_block() {
    let mut setup = setup();
    let pipe = setup.folder.path().join("crt");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let pipe = pipe.display().to_string();
    setup
        .collector
        .push_str(&format!("\ntls_listen = \"127.0.0.2:0\"\ntls_cert = \"{pipe}\"\ntls_key = \"{pipe}\""));
    let ran = setup.run().await;
    expect(ran.of("tls_files"), "failed", &["not a regular file"]);
}

#[tokio::test]
async fn a_port_in_use_by_another_program_is_found() {
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = other.local_addr().unwrap();
    // It closes each connection at once.
    let hanging_up = tokio::spawn(async move { while other.accept().await.is_ok() {} });
    let mut setup = setup();
    setup.collector = format!("listen = \"{addr}\"");
    let ran = setup.run().await;
    expect(ran.of("listen"), "failed", &["another program", "ss -ltnp"]);
    hanging_up.abort();
}

#[tokio::test]
async fn a_file_is_judged_without_network_secrets_and_machine() {
    let mut setup = setup().s3("storage_class = \"GLACIER\"");
    setup = setup.source("ios", "bucket = \"phones\"");
    let file = setup.file();
    let text = fs::read_to_string(&file).unwrap().replace("\"ios-key\"", "\"env:NOT_IN_CI\"");
    fs::write(&file, text).unwrap();
    let run = async |arguments: &[&str]| {
        let file = file.to_str().unwrap();
        let output = crate::support::forebay::run(&[&["check", "--config", file], arguments].concat()).await;
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = run(&["--offline"]).await;
    assert_eq!(code, Some(0), "{said}");
    for part in ["it is valid: 2 sources, 0 destinations, 0 imports", "GLACIER", "not tested: credentials"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!setup.spool_dir().exists(), "nothing is made");
    let (code, said) = run(&["--offline", "--source", "web", "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"check\": \"configuration\"") && !said.contains("phones"), "{said}");
    // `serve` refuses it without a token in its environment, which nobody knows here.
    assert!(!said.contains("FOREBAY_ADMIN_TOKEN"), "{said}");
    let private = fs::read_to_string(&file).unwrap();
    let open = "[admin]\nlisten = \"0.0.0.0:9180\"\n";
    fs::write(&file, private.replace(&format!("[admin]\n{}\n", setup.admin), open)).unwrap();
    let (code, said) = run(&["--offline"]).await;
    assert_eq!((code, said.contains("only with FOREBAY_ADMIN_TOKEN")), (Some(0), true), "{said}");
    fs::write(&file, private).unwrap();
    let (code, said) = run(&["--offline", "--source", "tv"]).await;
    assert_eq!((code, said.contains("has no source tv")), (Some(2), true), "{said}");
    let (code, said) = run(&[]).await;
    assert_eq!((code, said.contains("NOT_IN_CI")), (Some(2), true), "{said}");
}

#[tokio::test]
async fn the_estimate_uses_the_given_rate() {
    let ran = setup().run_with(&["--rate", "1000", "--call-bytes", "2 KB", "--outage", "2 h"]).await;
    let estimate = &ran.json["estimate"];
    assert_eq!((&estimate["calls_per_second"], &estimate["rate_given"]), (&1_000.into(), &true.into()));
    assert_eq!(estimate["objects_per_day"], 24 * 14 + 1);
    assert_eq!(estimate["spool_suffices"], false);
    expect(ran.of("spool_for_outage"), "failed", &["[spool]\nmax_bytes = "]);
    let ran = setup().run().await;
    assert_eq!(ran.json["estimate"]["rate_given"], false);
    let text = String::from_utf8(setup().output(&[]).await.stdout).unwrap();
    assert!(text.contains("100 calls per second (assumed; set --rate)"), "{text}");
    assert!(text.contains("\n  ✗ bucket") && text.contains("      tried: HeadBucket lake"), "{text}");
}
