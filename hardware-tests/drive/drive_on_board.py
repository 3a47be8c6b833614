#!/usr/bin/python3
"""The board's side of ../drive.bats: a market, its tunnel server and a device on loopback, told step by step.

    drive_on_board.py IO CARD

IO is a folder that the host of the test sees too. There it takes orders: `order-N`, words parted by NUL, the first one the name
of a step; it answers with `said-N`, what the step has to say, and then `done-N`, `ok` or `failed`. CARD is a disk for what must
not lie in RAM. The programs are in SUBLET_BIN, the base image in /base.
"""

import pathlib
import sys

import left_alone  # noqa: F401 (each brings steps)
import suite  # noqa: F401
import taken  # noqa: F401
import tenancy  # noqa: F401
from board import STEPS, Board, say, wait_for


def serve(here, folder):
    number = 0
    while True:
        number += 1
        order = folder / f"order-{number}"
        wait_for("the next order", order.exists, 3600, 0.2)
        step, *words = order.read_text().rstrip("\0").split("\0")
        is_last = False
        with open(folder / f"said-{number}", "w") as said:
            sys.stdout = said
            try:
                STEPS[step](here, *words)
                outcome = "ok"
            except SystemExit:
                outcome, is_last = "ok", True
            except Exception as trouble:  # whatever it was: tell all that is known
                say(f"FAILED {step} {' '.join(words)}: {trouble!r}")
                here.trouble()
                outcome = "failed"
            sys.stdout = sys.__stdout__
        (folder / f"done-{number}.new").write_text(outcome)
        (folder / f"done-{number}.new").rename(folder / f"done-{number}")
        if is_last:
            return


def main():
    folder, card = sys.argv[1:]
    serve(Board(card), pathlib.Path(folder))


if __name__ == "__main__":
    main()
