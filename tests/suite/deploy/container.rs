//! deploy/container: the container's root file system, read-only, with a user who is not root. No container
//! runtime is needed: a namespace of mounts and chroot do what matters here.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::repository;
use crate::serve::support::{CREDENTIALS, Caller, Rig};
use crate::support::forebay::{Starting, binary, without_settings};
use crate::support::tools::{on_path, run, skipped, stdout_of};

/// Mounts what a runtime mounts, and starts the program: `$1` is the root file system, `$2` a folder with
/// `hosts`, `etc` and `spool`. `/proc` is the machine's.
const START: &str = r#"
set -euo pipefail
root=$1 outside=$2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$outside/etc" "$root/etc/forebay"
mount --bind "$outside/hosts" "$root/etc/hosts"
mount --bind "$outside/spool" "$root/var/lib/forebay"
mount -o remount,bind,ro "$root/etc/forebay"
mount -o remount,bind,ro "$root"
if touch "$root/etc/written" 2>/dev/null; then exit 1; fi
exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups= "$root" \
    /usr/bin/forebay serve --config /etc/forebay/forebay.toml
"#;

fn user() -> u32 {
    let containerfile = fs::read_to_string(repository("deploy/container/Containerfile")).unwrap();
    let line = containerfile.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    line.split(':').next().unwrap().parse().unwrap()
}

/// Makes the root file system; `None` without root.
async fn root_file_system(folder: &Path) -> Option<std::path::PathBuf> {
    if !rustix::process::geteuid().is_root() {
        skipped("only root can change the root directory and mount");
        return None;
    }
    for tool in ["unshare", "mount", "setpriv", "chroot", "ldd"] {
        on_path(tool)?;
    }
    let root = folder.join("root");
    let mut rootfs = Command::new(repository("deploy/container/rootfs"));
    rootfs.arg(binary()).arg(&root);
    stdout_of(rootfs).await;
    Some(root)
}

#[tokio::test]
async fn the_container_takes_and_delivers_calls_without_root_and_without_writing_to_its_root() {
    let rig = Rig::start(&["lake"]).await;
    let folder = rig.folder.path();
    let Some(root) = root_file_system(folder).await else { return };
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.join("etc")).unwrap();
    let spool = folder.join("spool");
    fs::create_dir(&spool).unwrap();
    std::os::unix::fs::chown(&spool, Some(user()), Some(user())).unwrap();
    // A name that only the mounted file knows: names are looked up without the system's configuration.
    fs::write(folder.join("hosts"), "127.0.0.1 store.internal\n").unwrap();
    let store = rig.link.url.replace("127.0.0.1", "store.internal");
    let config = format!(
        "[collector]\nlisten = \"127.0.0.1:0\"\ndrain_delay = \"0 s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [spool]\nunsafe_filesystem = true\n[s3]\nbucket = \"lake\"\nendpoint_url = \"{store}\"\npath_style = true\n\
         [flush]\nmax_age = \"1 s\"\n[closed_days]\nwebhook = \"https://scheduler.example.com/\"\n\
         [[source]]\nid = \"web\"\nwrite_keys = [\"web-key\"]\n"
    );
    fs::write(folder.join("etc/forebay.toml"), config).unwrap();

    let mut start = without_settings(tokio::process::Command::new("unshare"));
    start.args(["--mount", "--propagation", "private", "bash", "-c", START, "start"]).arg(&root).arg(folder);
    start.env_clear().envs(CREDENTIALS).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let forebay = Starting::spawn(start).serve_ready().await;

    let process = Path::new("/proc").join(forebay.pid().as_raw_nonzero().to_string());
    assert_eq!(fs::metadata(&process).unwrap().uid(), user());
    let status = fs::read_to_string(process.join("status")).unwrap();
    assert!(status.contains("CapEff:\t0000000000000000") && status.contains("NoNewPrivs:\t1"), "{status}");

    let mut caller = Caller::new();
    caller.send(&forebay, "web", 100, 100).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    let log = forebay.live_log();
    assert!(forebay.terminate().await.success(), "{}", log.lock().unwrap());
}

#[tokio::test]
async fn the_root_file_system_has_no_shell_and_nothing_that_belongs_to_its_user_but_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let Some(root) = root_file_system(folder.path()).await else { return };
    let mut find = Command::new("find");
    find.arg(&root).args(["-printf", "%U %m %y /%P\n"]);
    let said = stdout_of(find).await;
    let mut files = 0;
    for line in said.lines() {
        let [owner, mode, kind, path] = line.splitn(4, ' ').collect::<Vec<_>>().try_into().unwrap();
        let own = path == "/var/lib/forebay";
        assert_eq!(owner == user().to_string(), own, "{line}");
        let writable_for_all = u32::from_str_radix(mode, 8).unwrap() & 0o7022;
        assert_eq!(writable_for_all, 0, "{line}");
        if kind == "f" {
            files += 1;
            let known =
                ["/usr/bin/forebay", "/etc/", "/lib", "/usr/lib"].iter().any(|known| path.starts_with(known));
            assert!(known, "{line}");
        }
    }
    assert!((8..30).contains(&files), "{said}");

    // It is made once: a second program would be mixed with the first.
    let mut again = Command::new(repository("deploy/container/rootfs"));
    again.arg(binary()).arg(&root);
    let again = run(again).await;
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));
}
