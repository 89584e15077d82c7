# Runs many methods of Python's unittest, each in a process of its own that is forked from one in which their file is imported already.
# This follows `persea_unittest.py` in the same script, in place of its last line.
#
# Requests come on standard input: a line with a length in bytes, and then as many bytes, which are fields with a NUL between them:
# FILE:CLASS.METHOD, the output directory, the work directory, and a NAME=VALUE for each variable to set or a NAME for one to remove.
# Each is answered by a line of JSON on the report pipe: {"code": ..., "signal": ..., "left": ..., "line": ...}, where the last is what
# persea_unittest.py says of a test, or null.
#
# A test finds what it would find alone: its variables, its own standard streams, an empty work directory, no process and no thread of
# another test. What importing its file prints is printed for each test. Where a file can't be imported for all (it ends the process, or
# starts threads, of which a fork has none), each test imports it itself.
#
# What every test needs is imported before the first fork and before the project's directories come into the module path. It is little more
# than unittest imports: a file of the project by the name of another module has to be found in that one's place.


import atexit
import gc
import select
import threading
import time


def serve():
    report = int(os.environ.pop("PERSEA_REPORT_FD"))
    os.set_inheritable(report, False)
    requests = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    if sys.path and sys.path[0] == "":
        sys.path[0] = os.getcwd()
    enable_diagnostics()
    adopt_orphans()
    warm_up()
    importer = None
    while True:
        request = Request.read(requests)
        if request is None:
            break
        file = request.test.rpartition(":")[0]
        if importer is None or importer.file != file:
            if importer is not None:
                importer.close()
            importer = Importer(file, request, (requests.fileno(), report))
        answer = importer.ask(request)
        if answer is None:
            answer = run_forked(request, (requests.fileno(), report))
        write_all(report, answer)
    if importer is not None:
        importer.close()


def warm_up():
    """Runs a test of its own until Python has adapted all code that runs around one: a process that is forked from this one copies the
    pages that it writes to, and that is most of what a trivial test costs."""
    import unittest

    class Trivial(unittest.TestCase):
        def test(self):
            self.assertTrue(True)

    for _ in range(20):
        run_suite(unittest.TestSuite([Trivial("test")]), "Trivial.test")
        quote("")


class Request:
    """A test to be run, and where."""

    def __init__(self, data):
        self.data = data
        fields = [os.fsdecode(field) for field in data.split(b"\0")]
        self.test, self.output, self.work = fields[:3]
        self.variables = [field.partition("=") for field in fields[3:]]

    @classmethod
    def read(cls, requests):
        """The next request; none at the end."""
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


class Importer:
    """A process that has imported a file, and forks another one for each of its tests."""

    def __init__(self, file, request, foreign):
        self.file = file
        asked, self.asking = os.pipe()
        self.answers, answering = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for descriptor in (self.asking, self.answers) + foreign:
                os.close(descriptor)
            code = 1
            try:
                self.work(request, asked, answering)
                code = 0
            finally:
                os._exit(code)
        os.close(asked)
        os.close(answering)

    def work(self, request, asked, answering):
        adopt_orphans()
        request.set_variables()
        printed = import_quietly(self.file)
        spare_memory()
        with os.fdopen(asked, "rb") as requests:
            while True:
                request = Request.read(requests)
                if request is None:
                    break
                write_all(answering, run_forked(request, (asked, answering), printed))

    def ask(self, request):
        """Has a test run, and returns the answer. None where the file can't be imported for all."""
        if self.pid is None:
            return None
        answer = b""
        try:
            request.send(self.asking)
            while not answer.endswith(b"\n"):
                part = os.read(self.answers, 1 << 20)
                if not part:
                    break
                answer += part
        except BrokenPipeError:
            pass
        if answer.endswith(b"\n"):
            return answer
        self.close()
        return None

    def close(self):
        if self.pid is not None:
            os.close(self.asking)
            os.close(self.answers)
            os.waitpid(self.pid, 0)
            self.pid = None


def import_quietly(file):
    """Imports a file, and returns what it printed to either stream. It must not have started a thread."""
    out, err = nameless_file(), nameless_file()
    os.dup2(out, 1)
    os.dup2(err, 2)
    path = file if file.endswith(".py") else file + ".py"
    sys.argv[:] = [path]
    try:
        load(path)
    except BaseException:
        pass  # each test reports it
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    os.dup2(0, 1)
    os.dup2(0, 2)
    if threading.active_count() > 1 or len(threads()) > 1:
        raise RuntimeError("it has started threads")
    return take(out), take(err)


def nameless_file():
    try:
        return os.memfd_create("persea")  # since 3.8
    except (AttributeError, OSError):
        import tempfile

        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
        return descriptor


def take(descriptor):
    """What is in a file, which is closed then."""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


def spare_memory():
    """Has the garbage collector of forked processes leave alone what is there now, so that they need no copy of it."""
    getattr(gc, "freeze", int)()  # since 3.7


def run_forked(request, foreign, printed=(b"", b"")):
    """Runs a test in a process of its own, and returns the answer."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        for descriptor in foreign:
            os.close(descriptor)
        become_test(request, write, printed)
    os.close(write)
    line, status = b"", None
    # Something that the test has left may hold the pipe open.
    while b"\n" not in line and status is None:
        if select.select([read], [], [], 1)[0]:
            part = os.read(read, 1 << 20)
            if not part:
                break
            line += part
        else:
            ended, waited = os.waitpid(pid, os.WNOHANG)
            status = waited if ended else None
    os.close(read)
    if status is None:
        status = os.waitpid(pid, 0)[1]
    left = end_processes()
    empty(request.work)
    line = line.partition(b"\n")[0] if b"\n" in line else b"null"
    code = "null" if os.WIFSIGNALED(status) else str(os.WEXITSTATUS(status))
    signal = str(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else "null"
    head = '{"code": %s, "signal": %s, "left": %d, "line": ' % (code, signal, left)
    return head.encode("ascii") + line + b"}\n"


def become_test(request, descriptor, printed):
    """Makes this process what it would be if it had been started for this test alone, runs it, and ends."""
    code = 1
    try:
        os.setpgid(0, 0)
        request.set_variables()
        make_directory(request.output)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            file = os.open(os.path.join(request.output, name), flags, 0o644)
            os.dup2(file, stream)
            os.close(file)
            write_all(stream, printed[stream - 1])
        report = Report(descriptor)
        code = run_as_main(report, request.test)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        end_as_main(code)


def run_as_main(report, test):
    """Runs a test and says how it went; returns the exit code that the process would have."""
    try:
        report.send(test, run(test))
        return 0
    except BaseException as error:
        report.send(test, dict(describe(error), status="error"))
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else error.code is not None
        raise


def end_as_main(code):
    """Ends as an interpreter does, but for tearing down what ends with the process anyway."""
    import atexit
    try:
        getattr(threading, "_shutdown", int)()
        getattr(atexit, "_run_exitfuncs", int)()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:
        pass
    os._exit(int(code) & 0xFF)


def make_directory(path):
    try:
        os.mkdir(path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data) :]


def adopt_orphans():
    """What a test leaves behind becomes a child of this process (PR_SET_CHILD_SUBREAPER), so that it can be found."""
    global PRCTL
    try:
        if PRCTL is None:
            import ctypes

            PRCTL = ctypes.CDLL(None).prctl
        PRCTL(36, 1, 0, 0, 0)
    except Exception:
        pass  # then it is ended with the batch


PRCTL = None


def end_processes():
    """Ends all children, and says how many there were."""
    ended = set()
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return len(ended)
        found = children()
        for pid in found:
            try:
                os.kill(pid, 9)
                ended.add(pid)
            except OSError:
                pass
        if not found:
            return len(ended)
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
    """Removes what is in a directory, or makes it. Uses no module that a file of the project could stand for."""
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return os.makedirs(directory, exist_ok=True)
    except OSError:
        return None
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)
                empty(entry.path)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)
        except OSError:
            pass
    return None


serve()
