"""sandbox.py UNIT COMMAND...: runs a command with the system calls, address families and memory mappings that a
unit of systemd allows. Any other call kills the process, where systemd would only refuse it. x86-64 alone."""
import ctypes
import os
import re
import struct
import subprocess
import sys

LOAD, JUMP_EQUAL, AND, RETURN = 0x20, 0x15, 0x54, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
NUMBER, ARCHITECTURE, ARGUMENT_0, ARGUMENT_2 = 0, 4, 16, 32
X86_64 = 0xC000003E
PROT_WRITE, PROT_EXEC = 2, 4
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
HEADER = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"


def settings(unit, name):
    with open(unit) as file:
        return [line.split("=", 1)[1].strip() for line in file if line.startswith(name + "=")]


def expanded(names):
    """The calls in a list of names and @sets."""
    calls = set()
    for name in names:
        if not name.startswith("@"):
            calls.add(name)
            continue
        said = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True)
        inside = [line.strip() for line in said.stdout.splitlines()[1:]]
        calls |= expanded([one for one in inside if one and not one.startswith("#")])
    return calls


def allowed_calls(unit):
    calls = set()
    for setting in settings(unit, "SystemCallFilter"):
        if setting.startswith("~"):
            calls -= expanded(setting[1:].split())
        else:
            calls |= expanded(setting.split())
    return calls


def program(unit):
    with open(HEADER) as file:
        numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", file.read()))
    calls = {int(numbers[name]) for name in allowed_calls(unit) if name in numbers}
    assert len(calls) > 100, calls
    code = []

    def add(operation, value, yes=0, no=0):
        code.append(struct.pack("HBBI", operation, yes, no, value))

    def only_if(call, check):
        """A check for one call, which jumps over it for all others."""
        before = len(code)
        check()
        checked = code[before:]
        del code[before:]
        add(LOAD, NUMBER)
        add(JUMP_EQUAL, int(numbers[call]), 0, len(checked))
        code.extend(checked)

    def families():
        add(LOAD, ARGUMENT_0)
        names = settings(unit, "RestrictAddressFamilies")[0].split()
        for at, name in enumerate(names):
            add(JUMP_EQUAL, FAMILIES[name], len(names) - at, 0)
        add(RETURN, KILL)

    def not_all_of(bits):
        add(LOAD, ARGUMENT_2)
        add(AND, bits)
        add(JUMP_EQUAL, bits, 0, 1)
        add(RETURN, KILL)

    add(LOAD, ARCHITECTURE)
    add(JUMP_EQUAL, X86_64, 1, 0)
    add(RETURN, KILL)
    only_if("socket", families)
    if settings(unit, "MemoryDenyWriteExecute") == ["yes"]:
        only_if("mmap", lambda: not_all_of(PROT_WRITE | PROT_EXEC))
        only_if("mprotect", lambda: not_all_of(PROT_EXEC))
    add(LOAD, NUMBER)
    for call in sorted(calls):
        add(JUMP_EQUAL, call, 0, 1)
        add(RETURN, ALLOW)
    add(RETURN, KILL)
    return b"".join(code), len(code)


def main():
    code, length = program(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("HxxxxxxQ", length, ctypes.addressof(buffer))
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(header), 0, 0) == 0, ctypes.get_errno()
    os.execv(sys.argv[2], sys.argv[2:])


main()
