# What holds a worker that runs an answer's code after all: it can use no more
# memory and time than it was given, write no file, read none but the
# interpreter's own, and start or reach nothing. Each layer holds alone.
import ctypes
import os
import resource
import struct
import sys


class Unsafe(Exception):
    """What the worker ends for, instead of doing without."""


def limit(memory):
    # CPU: for all its pairs; serve has a timer for each.
    for name, value in (("AS", memory), ("CPU", 3600), ("FSIZE", 0), ("CORE", 0), ("NPROC", 0), ("NOFILE", 32), ("MEMLOCK", 0)):
        kind = getattr(resource, "RLIMIT_" + name, None)
        if kind is None:
            continue
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # a lower one is there already, or macOS knows no address space limit
            pass
    # The kernel has to have taken the two that nothing else stands in for.
    for name, most in (("AS", memory), ("FSIZE", 0)):
        if sys.platform == "linux" and not 0 <= resource.getrlimit(getattr(resource, "RLIMIT_" + name))[0] <= most:
            raise Unsafe("the limit RLIMIT_%s of %d does not hold: nothing is evaluated where a process cannot limit itself" % (name, most))


# --- CPython's audit events ----------------------------------------------------

EVENTS = frozenset(
    "array.__new__ builtins.id code.__new__ compile cpython._PySys_ClearAuditHooks exec gc.get_objects gc.get_referents"
    " import marshal.load marshal.loads object.__getattr__ object.__setattr__ object.__delattr__ sys._getframe"
    " sys.unraisablehook".split()
)


def audit(readable):
    inside = tuple(os.path.realpath(d) + os.sep for d in readable) + tuple(os.path.abspath(d) + os.sep for d in readable)
    events, within, get = EVENTS, os.path.abspath, isinstance
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def hook(event, args):
        if event in events:
            return
        if event == "open" and get(args[0], str) and not (args[2] & writing) and within(args[0]).startswith(inside):
            return
        if event in ("os.listdir", "os.scandir") and get(args[0], str) and (within(args[0]) + "/").startswith(inside):
            return
        raise PermissionError("confined: " + event)

    within("")  # os.getcwd is not asked later
    sys.addaudithook(hook)


# --- Linux ---------------------------------------------------------------------

libc = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments):
    result = function(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def no_new_privileges():
    zero = ctypes.c_ulong(0)
    call(libc.prctl, 38, ctypes.c_ulong(1), zero, zero, zero)


def landlock(readable):
    """Files can be read below these folders, and nothing else be done with any;
    no TCP, no signal out of here, where the kernel knows that."""
    create, add, restrict = (ctypes.c_long(n) for n in (444, 445, 446))
    abi = call(libc.syscall, create, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    attributes = struct.pack("=QQQ", handled, 3, 3)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = call(libc.syscall, create, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    for folder in readable:
        fd = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        below = struct.pack("=Qi", 4 | 8, fd)
        call(libc.syscall, add, ctypes.c_int(rules), ctypes.c_int(1), below, ctypes.c_uint32(0))
        os.close(fd)
    call(libc.syscall, restrict, ctypes.c_int(rules), ctypes.c_uint32(0))
    os.close(rules)


# What an interpreter that has read its modules still needs, by architecture
# (its number for seccomp): memory, time, its pipes, reading files. Anything else fails
# with EPERM: exec, fork, threads, sockets, signals to others, ptrace, mounts.
CALLS = {
    "x86_64": (
        0xC000003E,
        "read 0 write 1 close 3 stat 4 fstat 5 lstat 6 poll 7 lseek 8 mmap 9 mprotect 10 munmap 11 brk 12 rt_sigaction 13"
        " rt_sigprocmask 14 rt_sigreturn 15 pread64 17 access 21 sched_yield 24 mremap 25 madvise 28 setitimer 38 getpid 39"
        " exit 60 uname 63 getcwd 79 readlink 89 gettimeofday 96 getrusage 98 sysinfo 99 sigaltstack 131 gettid 186"
        " futex 202 getdents64 217 restart_syscall 219 clock_gettime 228 clock_getres 229 exit_group 231 newfstatat 262"
        " readlinkat 267 getrandom 318 statx 332 rseq 334",
        (2, 257),  # open, openat
        16,  # ioctl
    ),
    "aarch64": (
        0xC00000B7,
        "getcwd 17 close 57 getdents64 61 lseek 62 read 63 write 64 pread64 67 ppoll 73 readlinkat 78 newfstatat 79"
        " fstat 80 exit 93 exit_group 94 futex 98 setitimer 103 clock_gettime 113 clock_getres 114 restart_syscall 128"
        " sched_yield 124 sigaltstack 132 rt_sigaction 134 rt_sigprocmask 135 rt_sigreturn 139 uname 160 getrusage 165"
        " gettimeofday 169 getpid 172 gettid 178 sysinfo 179 brk 214 munmap 215 mremap 216 mmap 222 mprotect 226 madvise 233"
        " getrandom 278 statx 291 rseq 293",
        (None, 56),
        29,
    ),
}
LOAD, JUMP_IF, ALL_BITS, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050001, 0x80000000  # FAIL: EPERM


def program(machine):
    """The filter as seccomp's instructions (code, skip if so, skip if not, value)."""
    architecture, allowed, (opening, opening_at), ioctl = CALLS[machine]
    number, low = 0, lambda i: 16 + 8 * i  # offsets in seccomp_data; little-endian
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    code = [(LOAD, 0, 0, 4), (JUMP_IF, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, number)]
    for n in allowed.split()[1::2]:
        code += [(JUMP_IF, 0, 1, int(n)), (RETURN, 0, 0, ALLOW)]
    for n, flags in ((opening, 1), (opening_at, 2)):  # to read, that is
        if n is not None:
            code += [(JUMP_IF, 0, 4, n), (LOAD, 0, 0, low(flags)), (ALL_BITS, 0, 1, writing), (RETURN, 0, 0, FAIL), (RETURN, 0, 0, ALLOW)]
    # is it a terminal, close on exec: what opening a file asks
    code += [(JUMP_IF, 0, 4, ioctl), (LOAD, 0, 0, low(1)), (JUMP_IF, 1, 0, 0x5401), (JUMP_IF, 0, 1, 0x5451), (RETURN, 0, 0, ALLOW)]
    code += [(RETURN, 0, 0, FAIL)]
    return code


def seccomp():
    code = program(os.uname().machine)
    text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *i) for i in code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    given = Program(len(code), ctypes.addressof(text))
    zero = ctypes.c_ulong(0)
    call(libc.prctl, 22, ctypes.c_ulong(2), ctypes.byref(given), zero, zero)


def confine(layers, readable, memory):
    """Applies the layers, and returns those that hold: a kernel may know some not."""
    holding = []
    linux = sys.platform == "linux"
    if linux and ("landlock" in layers or "seccomp" in layers):
        no_new_privileges()
    for name, apply in (
        ("landlock", lambda: landlock(readable)),
        ("limits", lambda: limit(memory)),
        ("seccomp", seccomp),
        ("audit", lambda: audit(readable)),
    ):
        if name not in layers or (name in ("landlock", "seccomp") and not linux):
            continue
        try:
            apply()
        except (OSError, KeyError):
            continue
        holding.append(name)
    return holding
