//! Addresses that lead to the link of this machine. Clouds serve an instance's credentials there, so no
//! address from the configuration may lead there, in whatever form it is written. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is link-local, or one of IPv6 that stands for such an address of IPv4.
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        // AWS serves what it has at 169.254.0.0/16 also in fd00:ec2::/32, which is unique-local.
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || matches!(ip.segments(), [0xfd00, 0x0ec2, ..])
                || embedded(ip).iter().any(Ipv4Addr::is_link_local)
        }
    }
}

/// The addresses of IPv4 that an address of IPv6 may stand for.
///
/// Sources: RFC 4291, 2.5.5 (mapped, compatible); RFC 2765, 2.1 (translated); RFC 6052, 2.2 and RFC 8215
/// (NAT64); RFC 3056, 2 (6to4); RFC 4380, 4 (Teredo); RFC 5214, 6.1 (ISATAP).
fn embedded(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    let [_, _, c, d, e, f, g, h, _, j, k, l, m, n, o, p] = ip.octets();
    let at_end = Ipv4Addr::new(m, n, o, p);
    match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            vec![at_end]
        }
        // The prefix that is in use is anywhere below: /48, /56, /64 or /96.
        [0x64, 0xff9b, 1, ..] => {
            let at = Ipv4Addr::new;
            vec![at(g, h, j, k), at(h, j, k, l), at(j, k, l, m), at_end]
        }
        [0x2002, ..] => vec![Ipv4Addr::new(c, d, e, f)],
        [0x2001, 0, ..] => vec![Ipv4Addr::from_bits(!at_end.to_bits())],
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => vec![at_end],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_address_is_recognised_in_every_form() {
        let check = |expected: bool, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(is_link_local(address.parse().unwrap()), expected, "{address}");
            }
        };
        check(true, &["169.254.169.254", "169.254.170.2", "fe80::1", "fd00:ec2::254", "fd00:ec2::23"]);
        check(true, &["::ffff:169.254.169.254", "::169.254.169.254", "::ffff:0:169.254.169.254"]);
        check(
            true,
            &["64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254", "64:ff9b:1:a:b:c:169.254.169.254"],
        );
        // 169.254.169.254 is a9 fe a9 fe; the byte after the first 64 bits is not part of it.
        check(
            true,
            &["64:ff9b:1:a9fe:00a9:fe00::", "64:ff9b:1:00a9:00fe:a9fe::", "64:ff9b:1:0:00a9:fea9:fe00:0"],
        );
        check(true, &["2002:a9fe:a9fe::1", "2001:0:1:2:3:4:5601:5601", "2001:db8::5efe:169.254.169.254"]);
        check(false, &["10.0.0.1", "127.0.0.1", "::1", "::", "fd00::1", "2001:db8::1", "64:ff9b::10.0.0.1"]);
        check(false, &["::ffff:10.0.0.1", "2002:a00:1::1", "64:ff9b:1::10.0.0.1", "2a00:a9fe:a9fe::1"]);
    }
}
