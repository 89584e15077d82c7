# Runs many sessions of pytest, each in a process of its own, without a new interpreter for each.
#
#     python3 -c SCRIPT ARGUMENT...
#
# Three levels of processes share the work:
#
#     server       imports pytest, reads requests and reports how each session has ended
#     configured   has read pytest's configuration, its plugins and the first conftest.py files, and forks sessions
#     session      collects and runs the tests of one request, reports them and exits
#
# The plugin appends `persea_python_batch.py`, which describes a request, and this file to `persea_pytest.py` and
# `persea_pytest_texts.py`.
#
# The lines of a session are followed by an empty one and {"is": "exit", "code": ..., "signal": ..., "orphans": ...}.
# `code` and `signal` tell how the process of the session ended, `orphans` counts the processes that it left behind.
#
# Where the configuration cannot be shared (it is broken, ends the process, or starts threads, which a fork does not
# copy), each session reads it by itself.


import atexit
import gc
import threading


def serve():
    report = Report(int(os.environ.pop("PERSEA_REPORT_FD")))
    requests = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    leave_working_directory()
    adopt_orphans()
    import_pytest(report)
    streams = Streams()
    arguments = sys.argv[1:]
    configured = None
    while True:
        request = Request.read(requests)
        if request is None:
            break
        if configured is not None and configured.is_file != is_file(request.selected):
            configured.close()
            configured = None
        if configured is None:
            configured = Configured(arguments, request, report, streams, requests.fileno())
        if not configured.ask(request):
            pid = os.fork()
            if pid == 0:
                os.close(requests.fileno())
                become_session(request, report, streams)
                reporter, selection = plugins(report)
                prepare(request, arguments, reporter, selection)
                end(lambda: run(report, arguments, [reporter, selection]))
            wait_for(pid, request, report)
    if configured is not None:
        configured.close()


class Request(BatchRequest):
    """Some tests to run, with their directories and environment variables."""

    FIELDS = ("selected", "part", "output", "work")


class Streams:
    """The standard output and error of the server: files without a name, which sessions replace by their own.

    pytest keeps copies of both descriptors. A copy is known by its file.
    """

    def __init__(self):
        self.files = []
        for descriptor in (1, 2):
            file = anonymous_file()
            os.dup2(file, descriptor)
            os.close(file)
            status = os.fstat(descriptor)
            self.files.append((status.st_dev, status.st_ino))

    def replace(self, output):
        """Puts files in the directory `output` in place of the streams, with what was printed so far."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        # The tests are told this file's path, and may read it.
        os.close(os.open(os.path.join(output, "debug.log"), flags, 0o644))
        for stream, name, known in ((1, "stdout", self.files[0]), (2, "stderr", self.files[1])):
            file = os.open(os.path.join(output, name), flags, 0o644)
            size = os.fstat(stream).st_size
            if size:
                write_all(file, os.pread(stream, size, 0))
            for copy in descriptors():
                try:
                    status = os.fstat(copy)
                except OSError:
                    continue
                if (status.st_dev, status.st_ino) == known:
                    os.dup2(file, copy, os.get_inheritable(copy))
            os.close(file)


def descriptors():
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return [descriptor for descriptor in range(256)]


class Configured:
    """The server's handle to a process in which pytest has read its configuration."""

    def __init__(self, arguments, request, report, streams, inherited):
        self.is_file = is_file(request.selected)
        request_end, self.requests = os.pipe()
        self.answers, answer_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for descriptor in (self.requests, self.answers, inherited):
                os.close(descriptor)
            self.configure(arguments, request, report, streams, request_end, answer_end)
        os.close(request_end)
        os.close(answer_end)

    def configure(self, arguments, first, report, streams, request_end, answer_end):
        """Lets pytest read its configuration and forks a session for each request. Never returns."""
        import pytest

        adopt_orphans()
        first.set_variables()
        reporter, selection = plugins(report)
        prepare(first, arguments, reporter, selection)

        class Forks:
            @pytest.hookimpl(tryfirst=True)
            def pytest_cmdline_main(self):
                """Returns in the processes of sessions only: they go on where pytest calls this."""
                if threading.active_count() > 1 or len(threads()) > 1:
                    os._exit(1)
                flush()
                getattr(gc, "freeze", int)()  # since 3.7
                with os.fdopen(request_end, "rb", closefd=False) as requests:
                    while True:
                        request = Request.read(requests)
                        if request is None:
                            os._exit(0)
                        pid = os.fork()
                        if pid == 0:
                            break
                        wait_for(pid, request, report)
                        write_all(answer_end, b"\n")
                os.close(request_end)
                os.close(answer_end)
                become_session(request, report, streams)
                prepare(request, arguments, reporter, selection)

        def session():
            # In the server's process tree only a session returns from here, or a pytest that cannot be configured.
            hooks = [reporter, selection, Forks()]
            configured = os.getpid()
            sys.argv[:] = ["pytest"] + arguments
            code = pytest.main(list(arguments), plugins=hooks)
            if os.getpid() == configured:
                os._exit(1)
            return ended(report, code)

        end(session)

    def ask(self, request):
        """Lets a session run. Returns false when this process cannot do it, or has ended."""
        if self.pid is None:
            return False
        answer = b""
        try:
            request.send(self.requests)
            answer = os.read(self.answers, 1)
        except BrokenPipeError:
            pass
        if answer:
            return True
        self.close()
        return False

    def close(self):
        if self.pid is not None:
            os.close(self.requests)
            os.close(self.answers)
            os.waitpid(self.pid, 0)
            self.pid = None


def prepare(request, arguments, reporter, selection):
    reporter.select(request.selected)
    selection.select(request.selected, request.part, arguments)


def become_session(request, report, streams):
    """Gives a forked process the environment and streams of a task."""
    os.setpgid(0, 0)
    request.set_variables()
    make_directory(request.output)
    streams.replace(request.output)
    report.protect()


def end(session):
    """Runs a session and exits as an interpreter does, without its finalisation. Never returns."""
    code = 1
    try:
        code = session()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:
            getattr(threading, "_shutdown", int)()
            getattr(atexit, "_run_exitfuncs", int)()
            flush()
        except BaseException:
            pass
        os._exit(int(code) & 0xFF)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def wait_for(pid, request, report):
    """Waits for the end of a session, ends what it left behind and reports both."""
    status = os.waitpid(pid, 0)[1]
    orphans = kill_orphans()
    empty(request.work)
    code = None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    write_all(report.descriptor, b"\n")
    report.send({"is": "exit", "code": code, "signal": signal, "orphans": orphans})


serve()
