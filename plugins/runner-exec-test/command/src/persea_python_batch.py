# Owns what interpreters have in common that run many tests, each in a forked process: requests, and what a test
# leaves behind.
#
# A plugin puts this file before its own part of the script. A request on standard input is a line with a length in
# bytes, followed by that many bytes. They hold fields with a NUL between them: those of `FIELDS`, and then a NAME=VALUE
# for each environment variable to set or a NAME for each one to remove. The modules are few, because a module that is
# loaded here hides a file of the project with the same name.


import stat
import time


class BatchRequest:
    """The request of one task. A subclass names the fields, which become attributes."""

    FIELDS = ()

    def __init__(self, data):
        self.data = data
        fields = [os.fsdecode(field) for field in data.split(b"\0")]
        for name, value in zip(self.FIELDS, fields):
            setattr(self, name, value)
        self.variables = [field.partition("=") for field in fields[len(self.FIELDS) :]]

    @classmethod
    def read(cls, requests):
        """Reads the next request. Returns None at the end of the input."""
        length = requests.readline()
        return cls(requests.read(int(length))) if length else None

    def send(self, descriptor):
        write_all(descriptor, b"%d\n" % len(self.data) + self.data)

    def set_variables(self):
        for name, equals, value in self.variables:
            if equals:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data) :]


def anonymous_file():
    try:
        return os.memfd_create("persea")  # since 3.8
    except (AttributeError, OSError):
        import tempfile

        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
        return descriptor


def make_directory(path):
    try:
        os.mkdir(path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)


def adopt_orphans():
    """Makes this process the parent of every orphan of a test (PR_SET_CHILD_SUBREAPER), so that it can kill them."""
    global PRCTL
    try:
        if PRCTL is None:
            import ctypes

            PRCTL = ctypes.CDLL(None).prctl
        PRCTL(36, 1, 0, 0, 0)
    except Exception:
        pass  # without ctypes, orphans live until the helper ends the batch


PRCTL = None


def kill_orphans():
    """Kills and reaps all children of this process. Returns how many it killed."""
    killed = set()
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return len(killed)
        found = children()
        for pid in found:
            try:
                os.kill(pid, 9)
                killed.add(pid)
            except OSError:
                pass
        if not found:
            return len(killed)
        time.sleep(0.001)


def threads():
    try:
        return os.listdir("/proc/self/task")
    except OSError:
        return []


def children():
    found = []
    for thread in threads():
        try:
            with open("/proc/self/task/%s/children" % thread) as file:
                found.extend(int(pid) for pid in file.read().split())
        except OSError:
            pass
    return found


def empty(directory):
    """Empties a directory, or makes it, whatever a test has put in its place.

    Does not use shutil, which a file of the project could shadow.
    """
    try:
        # Not followed: a link may lead to files of the user.
        mode = os.lstat(directory).st_mode
        if not stat.S_ISDIR(mode):
            os.unlink(directory)
        elif mode & 0o7777 != 0o700:
            os.chmod(directory, 0o700)
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return os.makedirs(directory, 0o700, exist_ok=True) if directory else None
    except OSError:
        return None
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                empty(entry.path)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)
        except OSError:
            pass
    return None
