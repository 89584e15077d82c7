# Runs many test methods of Python's unittest, each in a process of its own, without a new interpreter for each.
#
# Three levels of processes share the work:
#
#     server      reads requests and sends each to the importer of its file
#     importer    imports one test file and forks a process for each of its tests
#     test        runs one test, reports and exits
#
# The plugin appends `persea_python_batch.py`, which describes a request, and this file to `persea_unittest.py`, whose
# last line (the call of main) it removes.
#
# The answer to a request is a line of JSON in the report: {"code": ..., "signal": ..., "orphans": ..., "line": ...}.
# `code` and `signal` tell how the test process ended, `orphans` counts the processes that it left behind, and `line` is
# the report line of persea_unittest.py, or null when the process ended without one.
#
# A test finds what it would find in an interpreter of its own: its environment variables, its standard streams, an
# empty work directory, and no process or thread of another test. What the import of a file prints is repeated in the
# output of each of its tests. Where one import cannot serve all tests (it ends the process, or it starts threads, which
# a fork does not copy), each test imports the file itself.
#
# The server imports every module that a test needs before the first fork and before the project's directories enter
# sys.path. These are few modules beyond those of unittest, because a module that is loaded here hides a file of the
# project with the same name.


import atexit
import gc
import select
import threading


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
    """Runs a trivial test until CPython has specialised the bytecode of unittest and of this script.

    A forked process copies each page of memory that it writes to, and specialising bytecode writes to it. Page faults
    are the largest part of the time that a trivial test takes.
    """
    import unittest

    class Trivial(unittest.TestCase):
        def test(self):
            self.assertTrue(True)

    for _ in range(20):
        run_suite(unittest.TestSuite([Trivial("test")]), "Trivial.test")
        quote("")


class Request(BatchRequest):
    """One test to run, FILE:CLASS.METHOD, with its directories and environment variables."""

    FIELDS = ("test", "output", "work")


class Importer:
    """The server's handle to a process that has imported a file and forks a process for each of its tests."""

    def __init__(self, file, request, inherited):
        self.file = file
        request_end, self.requests = os.pipe()
        self.answers, answer_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for descriptor in (self.requests, self.answers) + inherited:
                os.close(descriptor)
            code = 1
            try:
                self.serve(request, request_end, answer_end)
                code = 0
            finally:
                os._exit(code)
        os.close(request_end)
        os.close(answer_end)

    def serve(self, request, request_end, answer_end):
        """Imports the file and answers requests. Runs in the importer process."""
        adopt_orphans()
        request.set_variables()
        printed = import_quietly(self.file)
        freeze_heap()
        with os.fdopen(request_end, "rb") as requests:
            while True:
                request = Request.read(requests)
                if request is None:
                    break
                write_all(answer_end, run_forked(request, (request_end, answer_end), printed))

    def ask(self, request):
        """Sends a request to the importer and returns the answer.

        Returns None when the importer has ended: its file cannot be imported once for all tests.
        """
        if self.pid is None:
            return None
        answer = b""
        try:
            request.send(self.requests)
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
            os.close(self.requests)
            os.close(self.answers)
            os.waitpid(self.pid, 0)
            self.pid = None


def import_quietly(file):
    """Imports a file and returns what the import printed to standard output and to standard error.

    Raises RuntimeError when the import has started a thread, because a fork would not copy it.
    """
    out, err = anonymous_file(), anonymous_file()
    os.dup2(out, 1)
    os.dup2(err, 2)
    path = file if file.endswith(".py") else file + ".py"
    sys.argv[:] = [path]
    try:
        load(path)
    except BaseException:
        pass  # `load` keeps the exception, and each test reports it
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    os.dup2(0, 1)
    os.dup2(0, 2)
    if threading.active_count() > 1 or len(threads()) > 1:
        raise RuntimeError("the import has started threads")
    return read_and_close(out), read_and_close(err)


def read_and_close(descriptor):
    """Returns the content of a file and closes it."""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


def freeze_heap():
    """Hides all current objects from the garbage collector, which would otherwise write to their pages in each fork."""
    getattr(gc, "freeze", int)()  # since 3.7


def run_forked(request, inherited, printed=(b"", b"")):
    """Runs a test in a forked process and returns the answer to its request.

    `inherited` are descriptors that the test process closes; `printed` is the output of the import of its file.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        for descriptor in inherited:
            os.close(descriptor)
        become_test(request, write, printed)
    os.close(write)
    line, status = b"", None
    # An orphan of the test may keep the pipe open, so the end of the process ends the wait as well.
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
    orphans = kill_orphans()
    empty(request.work)
    line = line.partition(b"\n")[0] if b"\n" in line else b"null"
    code = "null" if os.WIFSIGNALED(status) else str(os.WEXITSTATUS(status))
    signal = str(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else "null"
    head = '{"code": %s, "signal": %s, "orphans": %d, "line": ' % (code, signal, orphans)
    return head.encode("ascii") + line + b"}\n"


def become_test(request, descriptor, printed):
    """Gives a forked process the environment and streams of a test, runs the test and exits. Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        request.set_variables()
        make_directory(request.output)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        # The test is told this file's path, and may read it.
        os.close(os.open(os.path.join(request.output, "debug.log"), flags, 0o644))
        for stream, name in ((1, "stdout"), (2, "stderr")):
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
    """Runs a test and reports its result. Returns the exit code that an interpreter would have."""
    try:
        report.send(test, run(test))
        return 0
    except BaseException as error:
        report.send(test, dict(describe(error), status="error"))
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else error.code is not None
        raise


def end_as_main(code):
    """Exits as an interpreter does, without its finalisation: the kernel frees the memory faster."""
    try:
        getattr(threading, "_shutdown", int)()
        getattr(atexit, "_run_exitfuncs", int)()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:
        pass
    os._exit(int(code) & 0xFF)


serve()
