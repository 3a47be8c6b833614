#!/usr/bin/env python3
"""The lamp on a virtual Raspberry Pi, seen from outside: lamp_on_pi.py GOVERNOR [DOOR...] prints a TAP line for each thing that holds or not.

GOVERNOR is the program for pi-arm64; each DOOR is door.c against one version of libgpiod.
"""

import json
import pathlib
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "pi-rig"))
import pi as rig

LINE, LED = 17, 16  # the lamp's line, and the one that the board's ACT LED hangs on here
SLACK = 0.07  # seconds that a busy machine may add to a flash or take from it
BEATS = {"slow": [500, 500], "fast": [125, 125], "two": [200, 250, 200, 1250], "three": [200, 250, 200, 250, 200, 1250],
    "four": [200, 250, 200, 250, 200, 250, 200, 1250],
    "sos": [150, 150, 150, 150, 150, 450, 450, 150, 450, 150, 450, 450, 150, 150, 150, 150, 150, 1350]}  # fmt: skip
GPIO = {"gpio": {"chip": "pinctrl-bcm2835", "line": LINE}}
number = 0


def check(name):
    """Runs the function at once; says whether it held."""

    def judge(body):
        global number
        number += 1
        began = time.monotonic()
        try:
            body()
            print(f"ok {number} {name} # {time.monotonic() - began:.0f} s", flush=True)
        except Exception as error:
            print(f"not ok {number} {name}", flush=True)
            for line in "".join(traceback.format_exception(error)).splitlines():
                print("# " + line, flush=True)

    return judge


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not come to that")
        time.sleep(0.02)


class Lamp:
    """`governor lamp show` in the guest, with a configuration of its own."""

    def __init__(self, pi, lamp, words="lamp show steady", name="a", text=None):
        self.pi, self.name, self.words = pi, name, words
        assert pi.run(f"echo '{text or json.dumps({'lamp': lamp})}' > /tmp/{name}.json")[0] == 0

    def command(self, words):
        name = self.name
        return f"/bin/governor {words} --config /tmp/{name}.json --state /tmp/{name}.state --run /tmp/{name}.run"

    def __enter__(self):
        self.pi.run(f"({self.command(self.words)} >/tmp/{self.name}.log 2>&1; echo $? >/tmp/{self.name}.end) & sleep 0.1")
        return self

    def __exit__(self, *_):
        self.pi.run(f"for p in $(pidof governor); do kill -TERM $p; done; sleep 0.5; rm -f /tmp/{self.name}.end; rm -rf /tmp/{self.name}.run")

    def log(self):
        return self.pi.run(f"cat /tmp/{self.name}.log")[1]

    def pids(self):
        """Of the program and of the process that holds the lamp."""
        comms = self.pi.run("for p in /proc/[0-9]*; do echo ${p#/proc/} $(cat $p/comm 2>/dev/null); done")[1]
        found = {words[1]: int(words[0]) for words in map(str.split, comms.splitlines()) if len(words) == 2}
        return found.get("governor"), found.get("governor-lamp")

    def wake_ups(self, pid):
        return int(self.pi.run(f"grep ^voluntary /proc/{pid}/status")[1].split()[1])


def must_beat(pi, line, pattern):
    """The line goes once through the whole pattern, from wherever it is in it. A busy machine holds the virtual one up now and then, so it may
    take a few rounds until none of its times is off; another pattern never gets there."""
    beat = BEATS[pattern]
    wanted = [(index % 2 == 0, length / 1000) for index, length in enumerate(beat)]
    rounds = [wanted[start:] + wanted[:start] for start in range(len(wanted))]
    seen = []
    for _ in range(8):
        seen = pi.watch(line, 2.2 * sum(beat) / 1000 + 0.5)
        for start in range(len(seen) - len(beat) + 1):
            window = seen[start : start + len(beat)]
            if any(all(s[0] == e[0] and abs(s[1] - e[1]) <= SLACK for s, e in zip(window, one)) for one in rounds):
                return
    raise AssertionError(f"{pattern}: {[(level, round(length, 3)) for level, length in seen]}")


def must_stay(pi, line, level, seconds=2.0):
    assert pi.watch(line, seconds) == [(level, seconds)], f"line {line} is not {'high' if level else 'low'} throughout"


def is_dark(pi, line):
    return not pi.is_output(line) and not pi.is_high(line)


def on_a_line(pi):
    @check("steady: the line is an output and high, and nobody wakes up")
    def _():
        with Lamp(pi, GPIO) as lamp:
            until(lambda: pi.is_output(LINE) and pi.is_high(LINE))
            must_stay(pi, LINE, True)
            ours, holder = lamp.pids()
            before = lamp.wake_ups(ours), lamp.wake_ups(holder)
            time.sleep(5)
            assert (lamp.wake_ups(ours), lamp.wake_ups(holder)) == before
        until(lambda: is_dark(pi, LINE))

    for pattern in BEATS:

        @check(f"{pattern}: the line blinks as the table says")
        def _(pattern=pattern):
            with Lamp(pi, GPIO, f"lamp show {pattern}") as lamp:
                until(lambda: pi.is_high(LINE))
                must_beat(pi, LINE, pattern)
                # By its name, as the rigs of cards tell it.
                until(lambda: pi.monitor.pattern(LINE) == pattern)
                ours, _ = lamp.pids()
                before = lamp.wake_ups(ours)
                time.sleep(3)
                assert lamp.wake_ups(ours) == before, "the governor itself woke up"
            until(lambda: is_dark(pi, LINE))

    @check("active low: lit is low, dark is high until the line is given back")
    def _():
        with Lamp(pi, {"gpio": {**GPIO["gpio"], "activeLow": True}}):
            until(lambda: pi.is_output(LINE) and not pi.is_high(LINE))
            must_stay(pi, LINE, False)
        until(lambda: not pi.is_output(LINE))
        assert pi.is_high(LINE)

    @check("kill -9 of the program: dark and given back")
    def _():
        with Lamp(pi, GPIO) as lamp:
            until(lambda: pi.is_high(LINE))
            ours, _ = lamp.pids()
            pi.run(f"kill -9 {ours}")
            until(lambda: is_dark(pi, LINE), 5)
            until(lambda: lamp.pids() == (None, None), 5)

    @check("kill -9 of both at once: the kernel gives the line back")
    def _():
        with Lamp(pi, GPIO) as lamp:
            until(lambda: pi.is_high(LINE))
            pi.run("kill -9 %d %d" % lamp.pids())
            until(lambda: not pi.is_output(LINE), 5)

    @check("kill -9 of the process that holds it: another one lights it again")
    def _():
        with Lamp(pi, GPIO, "lamp show slow") as lamp:
            until(lambda: pi.is_high(LINE))
            _, holder = lamp.pids()
            pi.run(f"kill -9 {holder}")
            until(lambda: lamp.pids()[1] not in (None, holder), 30)
            until(lambda: pi.is_output(LINE), 10)
            must_beat(pi, LINE, "slow")

    @check("a line that somebody has: the error says who; a missing chip: its label; the other's lamp stays lit")
    def _():
        with Lamp(pi, GPIO):
            until(lambda: pi.is_high(LINE))
            second = Lamp(pi, GPIO, name="b")
            status, said = pi.run(second.command("lamp show steady --seconds 2"))
            assert (status, "held by \"sublet\"" in said) == (69, True), said
            third = Lamp(pi, {"gpio": {"chip": "pinctrl-none", "line": 1}}, name="c")
            status, said = pi.run(third.command("lamp test --seconds 1"))
            assert (status, "line 1 of the GPIO chip pinctrl-none, for no chip has this label" in said) == (69, True), said
            must_stay(pi, LINE, True)


def on_the_board(pi):
    def trigger():
        return pi.run("cat /sys/class/leds/ACT/trigger")[1].split("[")[1].split("]")[0]

    for pattern in ("two", "sos", "fast"):

        @check(f"the board's LED, {pattern}: the kernel blinks it and nobody wakes up")
        def _(pattern=pattern):
            with Lamp(pi, {"led": "ACT"}, f"lamp show {pattern}") as lamp:
                until(lambda: pi.is_high(LED))
                must_beat(pi, LED, pattern)
                assert trigger() == "pattern"
                pids = lamp.pids()
                before = [lamp.wake_ups(pid) for pid in pids]
                time.sleep(5)
                assert [lamp.wake_ups(pid) for pid in pids] == before
            until(lambda: trigger() == "none" and not pi.is_high(LED))

    @check("kill -9 while the kernel blinks the LED: it is dark")
    def _():
        with Lamp(pi, {"led": "ACT"}, "lamp show slow") as lamp:
            until(lambda: trigger() == "pattern")
            pi.run(f"kill -9 {lamp.pids()[0]}")
            until(lambda: trigger() == "none", 5)
            must_stay(pi, LED, False)

    @check("its former trigger has it again")
    def _():
        assert pi.run("echo heartbeat > /sys/class/leds/ACT/trigger")[0] == 0
        with Lamp(pi, {"led": "ACT"}, "lamp show steady"):
            until(lambda: trigger() == "none" and pi.is_high(LED))
            must_stay(pi, LED, True)
        until(lambda: trigger() == "heartbeat")
        pi.run("echo none > /sys/class/leds/ACT/trigger")

    @check("kill -9 of both at once: the kernel blinks on, which the next governor ends")
    def _():
        with Lamp(pi, {"led": "ACT"}, "lamp show slow") as lamp:
            until(lambda: trigger() == "pattern")
            pi.run("kill -9 %d %d" % lamp.pids())
            must_beat(pi, LED, "slow")
        with Lamp(pi, {"led": "ACT"}, "lamp show steady"):
            until(lambda: trigger() == "none" and pi.is_high(LED))
        until(lambda: not pi.is_high(LED) and trigger() == "none")

    @check("both at once show the same")
    def _():
        with Lamp(pi, {"led": "ACT", **GPIO}, "lamp show slow"):
            until(lambda: pi.is_output(LINE))
            must_beat(pi, LINE, "slow")
            must_beat(pi, LED, "slow")
        until(lambda: is_dark(pi, LINE) and not pi.is_high(LED))

    @check("without the pattern trigger: the timer trigger for what it can do, else the program, and the same to see")
    def _():
        pi.run("rmmod ledtrig_pattern || rmmod ledtrig-pattern")
        with Lamp(pi, {"led": "ACT"}, "lamp show slow"):
            until(lambda: trigger() == "timer")
            must_beat(pi, LED, "slow")
        with Lamp(pi, {"led": "ACT"}, "lamp show two"):
            until(lambda: pi.is_high(LED))
            assert trigger() == "none"
            must_beat(pi, LED, "two")
        until(lambda: not pi.is_high(LED))

    @check("both at once, and the LED's driver goes: the line is held and blinks on; when it is back, so is the LED")
    def _():
        driver = "/sys/bus/platform/drivers/leds-gpio"
        with Lamp(pi, {"led": "ACT", **GPIO}, "lamp show two"):
            until(lambda: pi.is_output(LINE) and pi.is_high(LED))
            assert pi.run(f"echo leds > {driver}/unbind")[0] == 0
            end = time.monotonic() + 6
            while time.monotonic() < end:
                assert pi.is_output(LINE), "the line was given back"
            must_beat(pi, LINE, "two")
            assert pi.run(f"echo leds > {driver}/bind")[0] == 0
            until(lambda: pi.is_high(LED), 70)
            must_beat(pi, LED, "two")
        until(lambda: is_dark(pi, LINE) and not pi.is_high(LED))
        assert pi.run("insmod /modules/ledtrig-pattern.ko")[0] == 0


def misconfigured(pi):
    @check("a wrong device-config.json: governor run flashes four, says why, and stays; its end is dark")
    def _():
        with Lamp(pi, GPIO, "run", name="d") as lamp:
            until(lambda: pi.is_high(LINE))
            must_beat(pi, LINE, "four")
            said = lamp.log()
            assert "level=error id=1003 event=config.bad" in said and "server: expected" in said, said
            status, told = pi.run(lamp.command("status"))
            assert status == 0 and "misconfigured" in told and "four (configuration error)" in told and "server: expected" in told, told
            pi.run(f"kill -HUP {lamp.pids()[0]}")
            until(lambda: lamp.log().count("config.bad") == 2)
        until(lambda: is_dark(pi, LINE))

    @check("one that can't be read at all: the board's own lamp")
    def _():
        pi.run("echo LAMP_LED=ACT > /tmp/facts")
        with Lamp(pi, None, "run --board /tmp/facts", name="e", text="{"):
            until(lambda: pi.is_high(LED))
            must_beat(pi, LED, "four")
        until(lambda: not pi.is_high(LED))
        status, said = pi.run(Lamp(pi, None, name="f", text="{").command("run"))
        assert status == 78 and said.startswith("governor: /tmp/f.json: "), said


def walk(pi):
    @check("governor lamp test walks through all of them")
    def _():
        with Lamp(pi, GPIO, "lamp test --seconds 3") as lamp:
            time.sleep(8 * 3 + 4)
            words = [line.split()[0] for line in lamp.log().splitlines() if not line.startswith("governor: ")]
            assert words == ["dark", "steady", "slow", "fast", "two", "three", "four", "sos"], words
            assert pi.run("cat /tmp/a.end")[1] == "0"
        until(lambda: is_dark(pi, LINE))


def doors(pi, names):
    for name in names:

        @check(f"the door alone, {name}: label, lit, dark, who holds it")
        def _(name=name):
            pi.run(f"(/bin/{name} /dev/gpiochip0 pinctrl-bcm2835 {LINE} 0 >/tmp/door.log 2>&1) & sleep 0.3")
            until(lambda: pi.is_output(LINE))
            assert not pi.is_high(LINE), "lit before it was told"
            until(lambda: pi.is_high(LINE))
            status, said = pi.run(f"/bin/{name} /dev/gpiochip0 another-label {LINE} 0")
            assert status == 69 and said.startswith("label 0") and "resource busy" in said and 'held by "sublet"' in said, said
            until(lambda: is_dark(pi, LINE))
            assert pi.run("cat /tmp/door.log")[1].split("\n") == ["label 1", "dark", "lit 0", "dark 0"]
            status, said = pi.run(f"/bin/{name} /dev/null any 1 0")
            assert status == 69 and said.startswith("label -1"), said
            assert pi.run(f"/bin/{name} /dev/gpiochip0 pinctrl-bcm2835 600 0")[0] == 69


def main():
    governor, *more = sys.argv[1:]
    names = {pathlib.Path(door).name: door for door in more}
    began = time.monotonic()
    with rig.Pi({"/bin/governor": governor, **{f"/bin/{name}": door for name, door in names.items()}}) as pi:
        print(f"# up after {time.monotonic() - began:.0f} s", flush=True)
        doors(pi, names)
        on_a_line(pi)
        on_the_board(pi)
        misconfigured(pi)
        walk(pi)
    print(f"1..{number}")


if __name__ == "__main__":
    main()
