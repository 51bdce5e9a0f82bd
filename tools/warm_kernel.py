"""Jupyter kernels and Python programs that start with TensorFlow imported already.

    python tools/warm_kernel.py serve SOCKET [MODULE ...]
        import the modules once, then fork a kernel or program for each caller
    python tools/warm_kernel.py start SOCKET ARGUMENT ...
        ask for a kernel with these arguments, or for `PROGRAM.py` with its arguments, and stand
        for it until it ends

Importing TensorFlow and Keras takes longer than most notebooks. The server imports them before
anything runs in them, when a fork is still safe: no thread and no device exists yet. A kernel is a
fork: a process of its own, with the environment, the folder and the files of its caller; `dl_utils`
is not imported yet. `KERAS_HOME`, which Keras reads when it is imported, is the server's. For Linux
and macOS.
"""
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading


def serve(path, modules):
    owner = os.getppid()
    # matplotlib reads it when it is imported
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for module in [*modules, "ipykernel.kernelapp"]: importlib.import_module(module)
    os.environ.pop("MPLBACKEND")
    for thread in threading.enumerate():
        assert thread is threading.main_thread(), f"{thread} would be lost in a fork"
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    server.settimeout(1)
    while os.getppid() == owner:  # ends with whoever started it
        try: connection, _ = server.accept()
        except TimeoutError: continue
        if os.fork() == 0:
            server.close()
            connection.setblocking(True)
            return attend(connection)
        connection.close()
        while True:  # attendants of kernels that have ended
            try:
                if not os.waitpid(-1, os.WNOHANG)[0]: break
            except ChildProcessError: break


def attend(connection):
    """Fork the kernel; tell its caller when it ends and by what, and end it when the caller is
    gone."""
    message, files, *_ = socket.recv_fds(connection, 1 << 20, 3)
    while not message.endswith(b"\n"):
        part = connection.recv(1 << 20)
        if not part: os._exit(1)  # the caller is gone
        message += part
    order = json.loads(message)
    kernel = os.fork()
    if kernel == 0: return run(connection, files, order)
    for file in files: os.close(file)
    connection.sendall(f"{kernel}\n".encode())
    status = None
    while status is None:
        # nothing is ever sent here: the caller's end is closed
        if select.select([connection], [], [], .05)[0]:
            kill(kernel)
            os.waitpid(kernel, 0)
            os._exit(0)
        ended, code = os.waitpid(kernel, os.WNOHANG)
        if ended: status = os.waitstatus_to_exitcode(code)
    connection.sendall(f"{status}\n".encode())
    os._exit(0)


def kill(kernel):
    """End a kernel and the processes that it has started."""
    try: os.killpg(kernel, signal.SIGKILL)
    except ProcessLookupError: pass


def run(connection, files, order):
    connection.close()
    os.setsid()  # a group of its own, as Jupyter's kernels have
    for target, file in enumerate(files): os.dup2(file, target)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.path[:] = order["path"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tempfile.tempdir = None  # the server's; the caller's TMPDIR counts
    if "numpy" in sys.modules: sys.modules["numpy"].random.seed()  # else alike in all kernels
    arguments = order["arguments"]
    if arguments[0].endswith(".py"):
        if "matplotlib" in sys.modules: sys.modules["matplotlib"].use("agg")  # a script shows none
        sys.argv[:] = arguments
        sys.path[0] = os.path.dirname(arguments[0])
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        parent = f"--IPKernelApp.parent_handle={os.getppid()}"
        sys.argv[:] = ["ipykernel_launcher", *arguments, parent]
        from ipykernel.kernelapp import IPKernelApp
        IPKernelApp.launch_instance()


def start(path, *arguments):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    order = dict(env=dict(os.environ), cwd=os.getcwd(), arguments=arguments,
                 path=["", *os.environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path[1:]])
    socket.send_fds(connection, [json.dumps(order).encode() + b"\n"], [0, 1, 2])
    kernel = None

    def forward(number, frame):
        if kernel: os.kill(kernel, number)

    for number in signal.SIGINT, signal.SIGTERM: signal.signal(number, forward)
    # Jupyter's manager of kernels sets the variable
    parent = int(os.environ.get("JPY_PARENT_PID", os.getppid()))
    answer = b""
    while answer.count(b"\n") < 2:  # the kernel's id, and in the end its exit status
        ready, _, _ = select.select([connection], [], [], 1)
        part = connection.recv(64) if ready else None
        if part == b"" or os.getppid() != parent:  # the server or the caller is gone
            if kernel: kill(kernel)
            os._exit(1)
        answer += part or b""
        if b"\n" in answer: kernel = int(answer.split()[0])
    status = int(answer.split()[1])
    if status < 0:  # ended by a signal
        if -status != signal.SIGKILL: signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    command, socket_path, *rest = sys.argv[1:]
    serve(socket_path, rest) if command == "serve" else start(socket_path, *rest)
