#!/usr/bin/env python3
"""hardware-tests/run on a virtual Raspberry Pi, for its tests of the lamp: suite_on_pi.py GOVERNOR TOOLS [--sabotage] prints TAP.

GOVERNOR is the program for pi-arm64, TOOLS the folder of ../pi-rig/tools. With --sabotage what the tests look at is broken, and each must fail.
"""

import json
import pathlib
import shlex
import sys

import lamp_on_pi
from lamp_on_pi import GPIO, LINE, Lamp, check, rig, until

PROJECT = pathlib.Path(__file__).parents[2]
SUITE = [PROJECT / "hardware-tests/run", *(PROJECT / "hardware-tests/device").rglob("*.ba*")]
LED = {"led": "ACT"}
BOTH = {**LED, **GPIO}


class Suite:
    """The suite in the guest, with a configuration."""

    def __init__(self, pi):
        self.pi = pi

    def run(self, test, governor="/bin/governor", patience=100):
        words = f"GOVERNOR={governor} SUBLET_CONFIG=/tmp/a.json SUBLET_STATE=/tmp/a.state SUBLET_RUN=/tmp/a.run"
        status, said = self.pi.run(f"{words} /hardware-tests/run safe --filter {shlex.quote('^' + test)}", 900)
        print("# " + said.replace("\n", "\n# "), flush=True)
        return status, said

    def passes(self, test):
        status, said = self.run(test)
        assert status == 0 and "\nok 1" in said and "# skip" not in said, said

    def fails(self, test, words, **options):
        status, said = self.run(test, **options)
        assert status == 1 and "\nnot ok 1" in said and words in said, said

    def skips(self, test, words):
        status, said = self.run(test)
        assert status == 0 and "# skip" in said and words in said, said

    def liar(self, text):
        """A governor that lies."""
        self.pi.run("cat >/tmp/liar <<'END'\n#!/bin/bash\n" + text + '\nexec /bin/governor "$@"\nEND\nchmod +x /tmp/liar')
        return "/tmp/liar"


def working(pi, suite):
    for name, plan in (("a GPIO line", GPIO), ("the board's LED", LED), ("both", BOTH)):

        @check(f"{name}: a running governor's pattern is read back")
        def _(plan=plan):
            # Its configuration lacks all but the lamp: it stays to show that.
            with Lamp(pi, plan, "run"):
                until(lambda: "misconfigured" in pi.run(Lamp(pi, plan).command("status"))[1])
                suite.passes("the lamp shows what governor status says")

    for name, plan in (("a GPIO line", GPIO), ("the board's LED", LED)):

        @check(f"{name}: each pattern is read back, and dark at the end")
        def _(plan=plan):
            Lamp(pi, plan)
            suite.passes("each pattern")

    @check("the line is held: a second request is refused; an LED is no line")
    def _():
        Lamp(pi, GPIO)
        suite.passes("the governor holds")
        with Lamp(pi, GPIO, "run"):
            until(lambda: pi.is_output(LINE))
            suite.passes("the governor holds")
        Lamp(pi, LED)
        suite.skips("the governor holds", "the lamp is no GPIO line, but the LED ACT")
        Lamp(pi, {"led": "none"})
        suite.fails("each pattern", "device-config.json names the LED none, and the kernel has none")


def broken(pi, suite):
    says_slow = suite.liar('[[ $* != "status --json" ]] || { /bin/governor "$@" | sed "s/\\"four\\"/\\"slow\\"/"; exit; }')
    for name, plan in (("a GPIO line", GPIO), ("the board's LED", LED)):

        @check(f"sabotage, {name}: status says slow, the lamp shows four")
        def _(plan=plan):
            with Lamp(pi, plan, "run"):
                until(lambda: "misconfigured" in pi.run(Lamp(pi, plan).command("status"))[1])
                suite.fails("the lamp shows what governor status says", "the lamp should show slow; it was", governor=says_slow)

    for what, plan, pattern, shown in (
        ("sos is shown as three", GPIO, "sos", "three"),
        ("three is shown as two", GPIO, "three", "two"),
        ("four is shown as three", LED, "four", "three"),
        ("steady flickers", LED, "steady", "fast"),
        ("dark is lit", GPIO, "dark", "steady"),
    ):

        @check(f"sabotage: {what}")
        def _(plan=plan, pattern=pattern, shown=shown):
            Lamp(pi, plan)
            other = suite.liar(f'[[ $3 != {pattern} ]] || set -- lamp show {shown} "${{@:4}}"')
            suite.fails("each pattern", f"the lamp should show {pattern}; it was", governor=other)

    for what, plan, words in (
        ("the line", LED, "waited in vain for the line to be held"),
        ("the LED", GPIO, "the lamp should show slow; it was, on ACT "),
    ):

        @check(f"sabotage: both are configured, and {what} does nothing")
        def _(plan=plan, words=words):
            Lamp(pi, BOTH)
            other = suite.liar("[[ $3 != slow ]] || echo '" + json.dumps({"lamp": plan}) + "' >$5")
            suite.fails("each pattern", words, governor=other)

    @check("sabotage: the line is kept at the end")
    def _():
        Lamp(pi, GPIO)
        keeps = suite.liar('[[ $3 != sos ]] || { /bin/governor "$@" --seconds 200 2>/dev/null & sleep 5; }')
        suite.fails("each pattern", "line 17 is still held", governor=keeps)
        pi.run("for p in $(pidof governor); do kill -TERM $p; done")

    @check("sabotage: nobody holds the line")
    def _():
        Lamp(pi, GPIO)
        loose = suite.liar('[[ $* != *holder* ]] || exec sleep 20')
        suite.fails("the governor holds", "status", governor=loose)


def main():
    governor, tools, *more = sys.argv[1:]
    files = {"/bin/governor": governor, **{"/" + str(path.relative_to(PROJECT)): path for path in SUITE}}
    with rig.Pi(files, tools) as pi:
        pi.run("mkdir -p /sys/fs/cgroup /dev/shm; ln -sfn /proc/self/fd /dev/fd; chmod +x /hardware-tests/run; mount -t tmpfs tmp /tmp")
        suite = Suite(pi)
        (broken if more else working)(pi, suite)
    print(f"1..{lamp_on_pi.number}")


if __name__ == "__main__":
    main()
