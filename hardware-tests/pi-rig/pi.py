"""A virtual Raspberry Pi 3 (QEMU) with our programs in it, and a look at its GPIO lines from outside: from the chip's registers."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

from monitor import Monitor

HERE = pathlib.Path(__file__).parent
PROJECT = HERE.parent.parent
BOARD = "pi-arm64"


def needed(program, libraries):
    """The program's shared libraries and theirs, as paths in the folder."""
    found, left = {}, [program]
    while left:
        for line in subprocess.run(["readelf", "-d", left.pop()], capture_output=True, text=True, check=True).stdout.splitlines():
            name = re.search(r"\(NEEDED\).*\[(.*)\]", line)
            if name and name[1] not in found:
                found[name[1]] = libraries / name[1]
                left.append(found[name[1]])
    return found.values()


class Pi:
    """Boots with `files` (a path in the guest for each on the host) and the tree of a whole folder; a context that ends the machine."""

    def __init__(self, files, tree=None):
        self.files, self.tree = files, tree

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sublet-pi."))
        try:
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if hasattr(self, "machine"):
            self.machine.kill()
            self.machine.wait()
        shutil.rmtree(self.folder)

    def boot(self):
        root = pathlib.Path(subprocess.run([HERE / "root"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
        self.make_initrd(root)
        words = ["console=ttyS1,115200", "quiet", "rdinit=/init"]
        self.machine = subprocess.Popen(
            # Who is killed while it runs has no other way to end it.
            ["setpriv", "--pdeathsig", "KILL", "qemu-system-aarch64", "-M", "raspi3b", "-display", "none", "-kernel", root / "kernel", "-dtb", root / "dtb"]
            + ["-initrd", self.folder / "initrd", "-append", " ".join(words), "-serial", "null", "-serial", "stdio", "-monitor", "none"]
            + ["-qmp", f"unix:{self.folder}/qmp,server=on,wait=off", "-no-reboot"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.said = b""
        self.news = threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()
        self.await_text(b"the Pi is up", 600)
        self.monitor = Monitor(self.folder / "qmp")
        self.is_high, self.is_output, self.watch = self.monitor.is_high, self.monitor.is_output, self.monitor.watch
        self.run("true")  # takes the shell's greeting along

    def make_initrd(self, root):
        tree = self.folder / "tree"
        if self.tree:
            # Its device nodes are the kernel's affair; a copy of one might have no end.
            shutil.copytree(self.tree, tree, symlinks=True, ignore=lambda folder, names: names if pathlib.Path(folder).name == "dev" else [])
        for name in ("bin", "lib", "proc", "sys", "dev", "run", "tmp"):
            (tree / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "busybox", tree / "bin/busybox")
        for applet in "sh mount insmod stty setsid sleep kill cat echo grep ls pidof mkdir rm ps true".split():
            if not (tree / "bin" / applet).exists():
                (tree / "bin" / applet).symlink_to("busybox")
        shutil.copytree(root / "modules", tree / "modules")
        shutil.copy(HERE / "guest-init", tree / "init")
        sysroot = pathlib.Path(subprocess.run([PROJECT / "board/sysroot", BOARD], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
        for name, source in self.files.items():
            target = tree / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
            if pathlib.Path(source).read_bytes()[:4] == b"\x7fELF":
                target.chmod(0o755)
                for library in needed(source, sysroot / "usr/lib/aarch64-linux-gnu"):
                    shutil.copy(library.resolve(), tree / "lib" / library.name)
        with open(self.folder / "initrd", "wb") as out:
            names = subprocess.run(["find", "."], cwd=tree, stdout=subprocess.PIPE, check=True).stdout
            subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=tree, input=names, stdout=out, check=True)
        shutil.rmtree(tree)

    def listen(self):
        while part := os.read(self.machine.stdout.fileno(), 65536):
            with self.news:
                self.said += part
                self.news.notify_all()

    def await_text(self, text, seconds):
        """What was said up to and without a text, which is taken."""
        with self.news:
            if not self.news.wait_for(lambda: text in self.said or self.machine.poll() is not None, seconds) or text not in self.said:
                raise TimeoutError(f"{text!r} did not come; the last words: {self.said[-2000:].decode(errors='replace')}")
            before, _, self.said = self.said.partition(text)
            return before

    def run(self, line, seconds=120):
        """Runs a line in the guest's shell; its exit status and what it printed."""
        self.machine.stdin.write(f"{line}\nstatus=$?; echo; echo end-$status-end\n".encode())
        self.machine.stdin.flush()
        printed = self.await_text(b"\nend-", seconds)
        return int(self.await_text(b"-end\n", seconds)), printed.decode(errors="replace").strip()
