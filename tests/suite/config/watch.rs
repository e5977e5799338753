use std::path::Path;
use std::time::Duration;

use forebay::config::{Environment, Loader, Watcher};
use tokio::sync::watch;
use tokio::time::timeout;

use super::SMALLEST;

/// Long enough on any machine; only a failing test waits this long.
const DEADLINE: Duration = Duration::from_secs(20);

fn watcher(path: &Path, check_every: Duration) -> (Watcher, watch::Sender<u64>) {
    let loader = Loader::new(path, Environment::default());
    let loaded = loader.load().unwrap();
    let (hangup, hangups) = watch::channel(0);
    (Watcher::new(loader, &loaded, hangups).check_every(check_every), hangup)
}

#[tokio::test]
async fn a_changed_file_is_reported_once_valid_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.toml");
    std::fs::write(&path, SMALLEST).unwrap();
    let (mut watcher, _hangup) = watcher(&path, Duration::from_millis(5));

    std::fs::write(&path, SMALLEST.replace("b-1", "b-2")).unwrap();
    let config = timeout(DEADLINE, watcher.next()).await.unwrap().unwrap().config;
    assert_eq!(config.s3.bucket.unwrap().to_string(), "b-2");

    std::fs::write(&path, "[s3]\nbuckit = \"x\"\n").unwrap();
    let error = timeout(DEADLINE, watcher.next()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("did you mean s3.bucket?"), "{error}");

    // The same invalid content is not reported again; the next result is the fixed file.
    std::fs::write(&path, SMALLEST).unwrap();
    assert!(timeout(DEADLINE, watcher.next()).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_changed_write_key_file_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("forebay.toml"), folder.path().join("key"));
    std::fs::write(&key, "first").unwrap();
    std::fs::write(&path, SMALLEST.replace("\"k\"", &format!("\"file:{}\"", key.display()))).unwrap();
    let (mut watcher, _hangup) = watcher(&path, Duration::from_millis(5));
    std::fs::write(&key, "second").unwrap();
    let config = timeout(DEADLINE, watcher.next()).await.unwrap().unwrap().config;
    assert_eq!(config.sources[0].write_keys, [forebay::sources::WriteKeyHash::of("second").unwrap()]);
}

#[tokio::test]
async fn sighup_reloads_at_once_even_without_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.toml");
    std::fs::write(&path, SMALLEST).unwrap();
    let (mut watcher, hangup) = watcher(&path, Duration::from_secs(3_600));
    hangup.send_modify(|count| *count += 1);
    assert!(timeout(DEADLINE, watcher.next()).await.unwrap().is_ok());
    // One signal gives one result.
    assert!(timeout(Duration::from_millis(50), watcher.next()).await.is_err());
    std::fs::remove_file(&path).unwrap();
    hangup.send_modify(|count| *count += 1);
    let error = timeout(DEADLINE, watcher.next()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}
