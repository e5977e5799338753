//! `scripts/release/lambda`.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::workshop::Folder;
use crate::support::tools::{extra_on_path, in_venv, on_path};

/// Prints the entries of a zip file: name, mode, date, and whether the content equals a file.
const ENTRIES: &str = r"
import json, sys, zipfile
packed = zipfile.ZipFile(sys.argv[1])
same = open(sys.argv[2], 'rb').read()
print(json.dumps([[e.filename, oct(e.external_attr >> 16), e.date_time, packed.read(e) == same] for e in packed.infolist()]))
";

/// A `readelf` that finds this architecture and glibc.
fn readelf(machine: &str, glibc: &str) -> String {
    format!("#!/bin/sh\necho '  Machine: {machine}'\necho '  0x0010:   Name: GLIBC_{glibc}  Flags: none'\n")
}

const X86_64: &str = "Advanced Micro Devices X86-64";

/// A folder with a file that a doubled `readelf` takes for a program.
fn folder_with_program() -> Folder {
    let folder = Folder::new();
    folder.program("readelf", &readelf(X86_64, "2.34"));
    std::fs::write(folder.path("program"), "what the program is").unwrap();
    folder
}

async fn entries(folder: &Folder, zip: &str, program: &Path) -> Value {
    let mut command = Command::new(in_venv("python").unwrap());
    command.args(["-c", ENTRIES, zip]).arg(program);
    serde_json::from_str(&folder.run(command).await.well().stdout).unwrap()
}

fn one_bootstrap(is_same: bool) -> Value {
    json!([["bootstrap", "0o100755", [1980, 1, 2, 0, 0, 0], is_same]])
}

/// The programs of the system that the script needs, without `zip`, `python3` and `strip`.
const SYSTEM: [&str; 19] = [
    "bash", "basename", "cat", "chmod", "cp", "dirname", "env", "grep", "mkdir", "mktemp", "mv", "rm", "sed",
    "sh", "sort", "tail", "touch", "tr", "wc",
];

#[tokio::test]
async fn the_same_program_gives_the_same_zip_with_zip_and_with_python() {
    let Some(python) = in_venv("python") else { return };
    let mut folder = folder_with_program();
    let bare = folder.path("bare");
    std::fs::create_dir(&bare).unwrap();
    for name in SYSTEM {
        let Some(program) = on_path(name) else { return };
        symlink(program, bare.join(name)).unwrap();
    }
    symlink(folder.path("bin/readelf"), bare.join("readelf")).unwrap();
    folder.set("PATH", &bare);
    let program = folder.path("program");
    let pack = async |zip: &str| {
        let ran = folder.script(&["--program", "program", "--zip", zip]).await;
        if ran.code == Some(0) {
            assert_eq!(ran.stdout.trim(), folder.path(zip).to_str().unwrap());
            assert!(ran.stderr.contains("program: x86_64, needs glibc 2.34 or newer"), "{ran:?}");
            let size = std::fs::metadata(folder.path(zip)).unwrap().len();
            assert!(ran.stderr.ends_with(&format!("\n{size} bytes\n")), "{ran:?}");
        }
        ran
    };
    pack("none.zip").await.refused(1, "zip and python3 are missing: one of them is needed");
    assert!(!folder.path("none.zip").exists());

    symlink(python, bare.join("python3")).unwrap();
    let bytes = |zip: &str| std::fs::read(folder.path(zip)).unwrap();
    pack("python.zip").await.well();
    assert_eq!(entries(&folder, "python.zip", &program).await, one_bootstrap(true));
    // A new file has another time.
    let content = std::fs::read(&program).unwrap();
    std::fs::remove_file(&program).unwrap();
    std::fs::write(&program, content).unwrap();
    pack("folder/again.zip").await.well();
    assert_eq!(bytes("python.zip"), bytes("folder/again.zip"));

    let Some(zip) = extra_on_path("zip") else { return };
    symlink(zip, bare.join("zip")).unwrap();
    std::fs::remove_file(bare.join("python3")).unwrap();
    pack("zip.zip").await.well();
    assert_eq!(entries(&folder, "zip.zip", &program).await, one_bootstrap(true));
    pack("again.zip").await.well();
    assert_eq!(bytes("zip.zip"), bytes("again.zip"));
}

/// The program of this build, stripped if `strip` is there.
#[tokio::test]
async fn the_program_is_packed_and_lambda_can_run_it() {
    if on_path("readelf").is_none() || in_venv("python").is_none() {
        return;
    }
    let folder = Folder::new();
    let program = env!("CARGO_BIN_EXE_forebay");
    let ran = folder.script(&["--program", program]).await.well();
    assert!(ran.stderr.contains("program: "), "{ran:?}");
    let is_same = !ran.stderr.contains("debug information is left out");
    let found = entries(&folder, "forebay-lambda.zip", Path::new(program)).await;
    assert_eq!(found, one_bootstrap(is_same));
    // The packed program still runs.
    let mut unpack = Command::new(in_venv("python").unwrap());
    unpack.args(["-m", "zipfile", "-e", "forebay-lambda.zip", "unpacked"]);
    folder.run(unpack).await.well();
    let mut packed = Command::new("sh");
    packed.args(["-c", "chmod +x unpacked/bootstrap && unpacked/bootstrap --version"]);
    assert!(folder.run(packed).await.well().stdout.starts_with("forebay "));
}

#[tokio::test]
async fn a_program_that_lambda_cannot_run_is_refused() {
    let folder = folder_with_program();
    let check = async |arguments: &[&str], machine: &str, glibc: &str, code: i32, said: &str| {
        folder.program("readelf", &readelf(machine, glibc));
        folder.script(arguments).await.refused(code, said);
        assert!(!folder.path("forebay-lambda.zip").exists());
    };
    let program = ["--program", "program"];
    let newer = "the runtime provided.al2023 has glibc 2.34: build the program on an older system";
    check(&program, X86_64, "2.35", 1, newer).await;
    check(&program, X86_64, "2.100", 1, newer).await;
    let arm64 = [program.as_slice(), &["--arch", "arm64"]].concat();
    check(&arm64, X86_64, "2.34", 1, "the program is for x86_64, not for arm64").await;
    let x86_64 = [program.as_slice(), &["--arch", "x86_64"]].concat();
    check(&x86_64, "AArch64", "2.34", 1, "the program is for arm64, not for x86_64").await;
    let other = [program.as_slice(), &["--arch", "riscv64"]].concat();
    check(&other, X86_64, "2.34", 2, "--arch takes x86_64 or arm64").await;
    check(&["--program", "missing"], X86_64, "2.34", 1, "there is no file missing").await;
    folder.program("readelf", "#!/bin/sh\nexit 1\n");
    folder.script(&program).await.refused(1, "program is not a program for Linux");

    folder.program("readelf", &readelf("AArch64", "2.17"));
    let ran = folder.script(&arm64).await.well();
    assert!(ran.stderr.contains("program: arm64, needs glibc 2.17 or newer"), "{ran:?}");
}

/// Cargo is doubled: it makes the program where cargo would.
#[tokio::test]
async fn the_program_is_built_if_none_is_given() {
    let mut folder = folder_with_program();
    folder.set("CARGO_TARGET_DIR", folder.path("target"));
    let record = folder.path("cargo-was-called-with");
    let built = |below: &str| {
        format!(
            "#!/bin/sh\necho \"$*\" >'{}'\nmkdir -p \"$CARGO_TARGET_DIR/{below}\"\n\
             echo built >\"$CARGO_TARGET_DIR/{below}/forebay\"\n",
            record.display()
        )
    };
    let called = || std::fs::read_to_string(&record).unwrap();
    let options = format!(
        "build --release --locked --no-default-features --features lambda --bin forebay --target-dir {}",
        folder.path("target/lambda").display()
    );
    folder.program("cargo", &built("lambda/release"));
    folder.script(&[]).await.well();
    assert_eq!(called(), format!("{options}\n"));
    folder.program("cargo", &built("lambda/aarch64-unknown-linux-gnu/release"));
    folder.program("readelf", &readelf("AArch64", "2.34"));
    let target = ["--target", "aarch64-unknown-linux-gnu", "--arch", "arm64"];
    folder.script(&target).await.well();
    assert_eq!(called(), format!("{options} --target aarch64-unknown-linux-gnu\n"));
    folder.program("cargo", "#!/bin/sh\nexit 101\n");
    folder.script(&["--zip", "failed.zip"]).await.refused(101, "");
    assert!(!folder.path("failed.zip").exists(), "an old program was packed");
}
