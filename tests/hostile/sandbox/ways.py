"""Ways out of a sandbox, each a function: `ways.py NAME` exits with 0 if it gets out, and otherwise
prints what held it.

$MACHINE is a directory of the machine with a socket and a pipe on which somebody answers, $PID a process, and $ABSTRACT the
name of an abstract socket.
"""
import ctypes
import fcntl
import glob
import os
import platform
import pty
import signal
import socket
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
# On x86-64, and in the generic table.
NUMBERS = {
    "clone": (56, 220), "unshare": (272, 97), "setns": (308, 268), "keyctl": (250, 219),
    "add_key": (248, 217), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "fsopen": (430, 430),
    "open_tree": (428, 428), "clone3": (435, 435), "ptrace": (101, 117), "syslog": (103, 116),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "mount": (165, 40), "process_vm_readv": (310, 270),
}
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWCGROUP = 0x20000, 0x10000000, 0x02000000


def call(name, *args):
    """Makes a system call; an error is an exception."""
    def argument(arg):
        return arg if isinstance(arg, (bytes, ctypes.Array)) else ctypes.c_long(arg)
    number = NUMBERS[name][0 if X86 else 1]
    result = LIBC.syscall(ctypes.c_long(number), *map(argument, args))
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), name)
    return result


def machine(name):
    return os.path.join(os.environ["MACHINE"], name)


def end_child(pid):
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def user_namespace_by_unshare():
    call("unshare", CLONE_NEWUSER)


def user_namespace_by_clone():
    end_child(call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0))


def user_namespace_by_clone3():
    arguments = (ctypes.c_uint64 * 11)()
    arguments[0], arguments[4] = CLONE_NEWUSER, signal.SIGCHLD
    end_child(call("clone3", arguments, 88))


def user_namespace_with_other_bits():
    # CLONE_FS and CLONE_FILES, which are allowed.
    call("unshare", CLONE_NEWUSER | 0x200 | 0x400)


def namespaces_of_another_process():
    call("setns", os.open("/proc/self/ns/uts", os.O_RDONLY), 0)


def mount_namespace():
    call("unshare", CLONE_NEWNS)


def cgroups_by_a_user_namespace():
    script = "mount -t cgroup2 none mnt && test -w mnt/cgroup.procs"
    os.makedirs("mnt", exist_ok=True)
    options = ["--user", "--map-root-user", "--mount", "--cgroup"]
    subprocess.run(["unshare", *options, "sh", "-c", script], check=True)


def mount_by_the_old_call():
    os.makedirs("mnt", exist_ok=True)
    # A change of propagation of the mount itself, which nothing else notices.
    call("mount", 0, b"/\0", 0, 1 << 18, 0)


def mount_by_the_new_calls():
    call("fsopen", b"tmpfs\0", 0)


def tree_of_mounts():
    call("open_tree", -100, b"/\0", 1)


def new_key():
    call("add_key", b"user\0", b"persea-planted\0", b"x", 1, -3)


def key_of_the_session():
    # KEYCTL_GET_KEYRING_ID, then KEYCTL_READ.
    ring = call("keyctl", 0, -3, 1)
    call("keyctl", 11, ring, ctypes.create_string_buffer(64), 64)


def named_session_of_others():
    call("keyctl", 1, b"persea-shared\0")


def list_of_keys():
    with open("/proc/keys") as keys:
        keys.read()


def bpf_map():
    attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
    call("bpf", 0, attributes, 128)


def performance_events():
    attributes = (ctypes.c_uint32 * 32)(1, 128)
    call("perf_event_open", attributes, 0, -1, -1, 0)


def faults_in_user_space():
    call("userfaultfd", 1)


def io_uring():
    call("io_uring_setup", 4, (ctypes.c_uint32 * 30)())


def io_uring_with_an_x32_number():
    number = 425 | 0x40000000
    if LIBC.syscall(ctypes.c_long(number), 4, (ctypes.c_uint32 * 30)()) < 0:
        raise OSError(ctypes.get_errno(), "x32")


def log_of_the_kernel():
    # SYSLOG_ACTION_READ_ALL.
    call("syslog", 3, ctypes.create_string_buffer(4096), 4096)


def hypervisor():
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)


def input_for_a_terminal():
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            fcntl.ioctl(0, 0x5412, b"x")
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise OSError(os.waitstatus_to_exitcode(status), "TIOCSTI")


def input_for_a_terminal_with_other_bits():
    # The kernel compares only 32 bits of the request.
    pid, terminal = pty.fork()
    if pid == 0:
        byte = ctypes.create_string_buffer(b"x")
        number = 16 if X86 else 29
        failed = LIBC.syscall(ctypes.c_long(number), 0, ctypes.c_long(1 << 32 | 0x5412), byte)
        os._exit(0 if failed == 0 else ctypes.get_errno())
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise OSError(os.waitstatus_to_exitcode(status), "TIOCSTI")


def device_file():
    os.mknod("device", 0o020666, os.makedev(1, 5))
    try:
        with open("device", "rb") as device:
            device.read(1)
    finally:
        os.unlink("device")


def setting_of_the_kernel():
    with open("/proc/sys/vm/swappiness") as file:
        value = file.read()
    with open("/proc/sys/vm/swappiness", "w") as file:
        file.write(value)


def cgroup_of_the_machine():
    for directory, _, files in os.walk("/sys/fs/cgroup"):
        if "cgroup.procs" in files:
            with open(os.path.join(directory, "cgroup.procs"), "w") as file:
                file.write(str(os.getpid()))
            return
    raise FileNotFoundError("cgroup.procs")


def handle_of_a_file():
    handle = ctypes.create_string_buffer(136)
    handle[0:4] = (128).to_bytes(4, sys.byteorder)
    mount = ctypes.create_string_buffer(8)
    call("name_to_handle_at", -100, os.fsencode(machine("file")) + b"\0", handle, mount, 0)
    call("open_by_handle_at", os.open(os.environ["MACHINE"], os.O_RDONLY), handle, os.O_RDONLY)


def is_the_machines():
    with open(f"/proc/{os.environ['PID']}/cmdline", "rb") as line:
        if b"12345" not in line.read():
            raise ProcessLookupError("another process")


def signal_for_the_machine():
    is_the_machines()
    os.kill(int(os.environ["PID"]), 0)


def process_of_the_machine_traced():
    # PTRACE_SEIZE, which does not stop it.
    is_the_machines()
    call("ptrace", 0x4206, int(os.environ["PID"]), 0, 0)


def descriptor_of_another_process():
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        call("pidfd_getfd", call("pidfd_open", child, 0), 0, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def root_of_another_process():
    with open(f"/proc/{os.environ['PID']}/root{machine('file')}") as file:
        if file.read() != "of the machine\n":
            raise FileNotFoundError("another file")


def root_above_a_chroot():
    os.makedirs("below", exist_ok=True)
    here = os.open("/", os.O_RDONLY)
    os.chroot("below")
    os.fchdir(here)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    with open(os.path.join(os.environ["SECRET"])) as file:
        file.read()


def connect(kind, address):
    with socket.socket(socket.AF_UNIX, kind) as it:
        it.settimeout(5)
        it.connect(address)
        it.send(b"x")


def socket_of_the_machine():
    connect(socket.SOCK_STREAM, machine("stream"))


def datagrams_of_the_machine():
    connect(socket.SOCK_DGRAM, machine("datagram"))


def socket_by_a_link():
    os.symlink(machine("stream"), "way")
    try:
        connect(socket.SOCK_STREAM, "way")
    finally:
        os.unlink("way")


def socket_by_a_descriptor():
    directory = os.open(os.environ["MACHINE"], os.O_RDONLY)
    connect(socket.SOCK_STREAM, f"/proc/self/fd/{directory}/stream")


def pipe_of_the_machine_written():
    pipe = os.open(machine("pipe"), os.O_WRONLY | os.O_NONBLOCK)
    os.write(pipe, b"x")


def abstract_socket():
    connect(socket.SOCK_STREAM, "\0" + os.environ["ABSTRACT"] + "-stream")


def abstract_datagrams():
    connect(socket.SOCK_DGRAM, "\0" + os.environ["ABSTRACT"] + "-datagram")


def abstract_socket_of_a_child():
    if os.fork() == 0:
        os.setsid()
        try:
            abstract_socket()
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    _, status = os.wait()
    if status != 0:
        raise OSError(os.waitstatus_to_exitcode(status), "abstract")


def read(*parts):
    with open(os.path.expanduser(os.path.join(*parts))) as file:
        file.read()


def journal_of_the_job():
    read(os.environ["AVOCADO_TEST_OUTPUTDIR"], "../../events.jsonl")


def arguments_of_other_tests():
    jobs = os.path.join(os.environ["AVOCADO_TEST_OUTPUTDIR"], "../../..", "job-*", "events.jsonl")
    for journal in glob.glob(jobs):
        with open(journal) as lines:
            if "answer-of-the-test-beside" in lines.read():
                return
    raise FileNotFoundError("answer")


def expected_results():
    read("expected/answers")


def expected_results_by_a_link():
    os.symlink("expected", "way")
    try:
        read("way/answers")
    finally:
        os.unlink("way")


def expected_results_by_the_root_of_a_process():
    read("/proc/self/root", os.getcwd().lstrip("/"), "expected/answers")


def expected_results_made_a_hard_link():
    os.link("expected/answers", "way")
    os.unlink("way")


def expected_results_where_they_were_moved_to():
    os.rename("expected", "way")
    try:
        read("way/answers")
    finally:
        os.rename("way", "expected")


def ssh_key():
    read("~/.ssh/id_ed25519")


def cloud_token():
    read("~/.aws/credentials")


def configuration_of_persea():
    read("~/.config/persea/config.toml")


def file_of_tokens():
    read("~/.netrc")


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]]()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{sys.argv[1]}: held: {error}")
        sys.exit(1)
    print(f"{sys.argv[1]}: out")
