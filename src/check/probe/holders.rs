//! Finds the process that holds a lock or listens at an address, in `/proc`. What this user may not see is not
//! found.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::check::holder::Holder;

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// The process that holds a lock of this file (`flock`).
pub(crate) fn of_lock(file: &File) -> Option<Holder> {
    let about = file.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(about.dev()), rustix::fs::minor(about.dev()));
    holder(pid_of_lock(&fs::read_to_string("/proc/locks").ok()?, (major, minor, about.ino()))?)
}

/// Its line is `1: FLOCK ADVISORY WRITE 4711 fe:00:5922865 0 EOF`; the device is hexadecimal.
fn pid_of_lock(locks: &str, (major, minor, inode): (u32, u32, u64)) -> Option<u32> {
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        if fields.next() != Some("FLOCK") {
            return None;
        }
        let (pid, at) = (fields.nth(2)?, fields.next()?);
        if at == place { pid.parse().ok() } else { None }
    })
}

/// The process that listens at this address, or at all addresses of its port.
pub(crate) fn of_listener(addr: SocketAddr) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listeners(&table, addr))
        .collect();
    pids().find(|pid| has_socket(*pid, &inodes)).and_then(holder)
}

/// The inodes of the sockets that listen there.
fn listeners(table: &str, addr: SocketAddr) -> Vec<String> {
    let here = |local: &str| {
        let (host, port) = local.split_once(':')?;
        let is_all = host.bytes().all(|digit| digit == b'0');
        let is_port = u16::from_str_radix(port, 16) == Ok(addr.port());
        Some(is_port && (is_all || addr.ip().is_unspecified() || host == hex_of(addr.ip(), host.len())))
    };
    let of_line = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let listens = state == LISTENS && here(local) == Some(true);
        // After the state: queues, timer, retransmissions, user, time-out.
        if listens { fields.nth(5).map(str::to_owned) } else { None }
    };
    table.lines().filter_map(of_line).collect()
}

/// An address as the kernel writes it: words of 32 bits, each in the order of this machine. In the table of
/// IPv6 an address of IPv4 is mapped.
fn hex_of(ip: IpAddr, digits: usize) -> String {
    let bytes = match ip {
        IpAddr::V4(ip) if digits == 8 => ip.octets().to_vec(),
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok());
    words.map(|word| format!("{:08X}", u32::from_ne_bytes(word))).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_socket(pid: u32, inodes: &[String]) -> bool {
    let Ok(handles) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    handles.flatten().any(|handle| {
        let target = fs::read_link(handle.path());
        let target = target.as_deref().ok().and_then(Path::to_str).unwrap_or_default();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|known| known == inode))
    })
}

/// A process by its id. A process of another namespace has none here.
fn holder(pid: u32) -> Option<Holder> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let path = arguments.next()?.into_owned();
    let name = Path::new(&path).file_name().map_or(path.clone(), |name| name.to_string_lossy().into_owned());
    let program = match arguments.next() {
        Some(command) if name == env!("CARGO_PKG_NAME") => format!("{name} {command}"),
        _ => name,
    };
    Some(Holder { pid, program })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::fs::FlockOperation;

    use super::*;

    #[test]
    fn this_process_is_found_by_its_lock_and_its_listeners() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("LOCK")).unwrap();
        assert_eq!(of_lock(&file), None);
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(of_lock(&file).unwrap().pid, std::process::id());
        for at in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let listener = TcpListener::bind(at).unwrap();
            let addr = listener.local_addr().unwrap();
            assert_eq!(of_listener(addr).unwrap().pid, std::process::id(), "{addr}");
            let all = SocketAddr::new("0.0.0.0".parse().unwrap(), addr.port());
            assert_eq!(of_listener(all).unwrap().pid, std::process::id(), "{all}");
            drop(listener);
            assert_eq!(of_listener(addr), None);
        }
    }

    #[test]
    fn only_the_lock_of_the_file_counts() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 fe:00:7 0 EOF\n2: FLOCK  ADVISORY  WRITE 2 fe:00:8 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 4 fe:00:7 0 EOF\n3: FLOCK  ADVISORY  READ 3 fe:00:7 0 EOF";
        assert_eq!(pid_of_lock(locks, (0xfe, 0, 7)), Some(3));
        assert_eq!(pid_of_lock(locks, (0xfd, 0, 7)), None);
    }
}
