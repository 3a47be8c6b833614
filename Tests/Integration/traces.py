"""What a world may leave behind on a machine, and how its processes are known among everybody else's.

Other people's engines come and go on the same machine, so nothing is counted: a trace is ours if it bears the world's name (the folder
that no other world has), the prefix of its bridges, or one of its ports.
"""

import glob
import os
import pathlib
import signal
import subprocess
import time


def comm(pid):
    """A process's name, empty where it has ended."""
    try:
        return pathlib.Path("/proc", str(pid), "comm").read_text().strip()
    except OSError:
        return ""


def _read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


def pids_naming(text):
    """Processes that have a text in their command line, their first environment, or among the sources of their root; ours excepted.

    The root tells a container's processes. All of their mounts must not be asked: somebody's `unshare --mount` has copies of ours.
    """
    found, own = [], {os.getpid(), os.getppid()}
    wanted = text.encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in own:
            continue
        told = [_read(f"/proc/{entry}/cmdline"), _read(f"/proc/{entry}/environ")]
        told += [line for line in _read(f"/proc/{entry}/mountinfo").splitlines() if line.split()[4:5] == [b"/"]]
        if any(wanted in words for words in told):
            found.append(int(entry))
    return found


def mount_points():
    """Where something is mounted in our namespace, in the order it was made."""
    return [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]


def unmount_all(folder):
    """Unmounts everything at or below a folder, the newest first."""
    for point in reversed(mount_points()):
        if point == folder or point.startswith(folder + "/"):
            subprocess.run(["umount", "-l", point], capture_output=True, check=False)


def end_all(folder):
    """Kills every process that names a folder, and unmounts what is there."""
    for _ in range(50):
        pids = pids_naming(folder)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not pids:
            break
        time.sleep(0.05)
    unmount_all(folder)


def lines(*words):
    """What a program printed, line by line; none where it fails or is not there."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    except OSError:
        return []


def forget_containers(folders):
    """Removes what a power cut takes with it and a kill does not: control groups and the shims' sockets. Shims work in the folders."""
    for folder in folders:
        socket = _read(folder / "address").decode().removeprefix("unix://")
        if socket.startswith("/run/containerd/s/"):
            pathlib.Path(socket).unlink(missing_ok=True)
        for place in glob.glob(f"/sys/fs/cgroup/docker/{folder.name}") + glob.glob(f"/sys/fs/cgroup/*/docker/{folder.name}"):
            os.rmdir(place)


def snapshot():
    """Folders of the machine's own that an engine may make, before a world is built; all else of a world bears its name."""
    return {"folders": [folder for folder in ("/etc/docker", "/var/lib/docker", "/var/lib/containerd") if os.path.exists(folder)]}


def _traces(before, name, bridges, ports):
    left = {kind: [entry for entry in found if entry not in before[kind]] for kind, found in snapshot().items()}
    if name:
        left["mounts"] = [point for point in mount_points() if name in point]
        left["loops"] = [line for line in lines("losetup", "--noheadings", "--list", "--output", "NAME,BACK-FILE") if name in line]
        left["processes"] = [f"{pid} ({comm(pid)})" for pid in pids_naming(name)]
        left["files"] = glob.glob(f"/run/*{name}*") + glob.glob(f"/var/tmp/*{name}*")
    if bridges:
        left["links"] = [link for link in os.listdir("/sys/class/net") if link.startswith(bridges)]
        left["tables"] = [line for line in lines("nft", "list", "tables") if "sublet-" + bridges in line]
        left["crypt"] = [entry for entry in glob.glob("/dev/mapper/*") if os.path.basename(entry).startswith(bridges)]
    left["ports"] = sorted(ports & used_ports())
    return "; ".join(f"{kind}: {', '.join(map(str, found))}" for kind, found in left.items() if found)


def left_behind(before, name, bridges="", ports=frozenset(), seconds=5):
    """What a world has left, in words; empty where there is nothing. The kernel takes things down in its own time: a few seconds."""
    end = time.monotonic() + seconds
    while True:
        words = _traces(before, name, bridges, set(ports))
        if not words or time.monotonic() > end:
            return words
        time.sleep(0.2)


def used_ports():
    """Local TCP ports on which somebody listens or is connected."""
    ports = set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] in ("01", "0A"):
            ports.add(int(fields[1].split(":")[1], 16))
    return ports
