"""What the integration tests share: the base image, one world a module, a limit on every test, and the logs of what failed."""

import os
import signal

import pytest
import world
from house import House

# A test that takes longer than this hangs; the slowest one takes a third of it.
LIMIT_SECONDS = 240
# Rows of the tables that are shown when all tests are done, by title.
TABLES = pytest.StashKey()



def pytest_configure(config):
    config.stash[TABLES] = {}
    if os.geteuid() != 0:
        raise pytest.UsageError("the integration tests mount drives and start engines: run them as root")


@pytest.fixture(scope="session")
def base():
    """The renter's base image; made once, then cached."""
    return world.base_image()


@pytest.fixture(scope="module")
def make_house(request, base):
    """Builds a world that is taken down, and searched for what it left, at the end of the module."""
    houses = []

    def make(**options):
        name = request.module.__name__.removeprefix("test_")
        houses.append(House(name, base, **options))
        request.module.houses = houses
        return houses[-1]

    yield make
    left = [house.close() for house in houses]
    assert not any(left), f"left behind: {left}"


@pytest.fixture(scope="module")
def house(make_house):
    """A market that wants a check-in every second, and its tunnel server."""
    return make_house()


@pytest.fixture(autouse=True)
def limit():
    """Ends a test that hangs."""

    def ring(number, frame):
        raise TimeoutError(f"the test took more than {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LIMIT_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def table(request):
    """Adds a row to a table: what was tried, its outcome, and counts by name."""

    def add(title, what, outcome, counts):
        counted = ", ".join(f"{name}: {count}" for name, count in counts.items())
        request.config.stash[TABLES].setdefault(title, []).append(f"{what:<50} {outcome:<8} {counted}".rstrip())

    return add


def pytest_terminal_summary(terminalreporter, config):
    for title, rows in config.stash[TABLES].items():
        terminalreporter.section(title)
        for row in rows:
            terminalreporter.line(row)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds the last lines of every log of the module's worlds to a failure."""
    report = (yield).get_result()
    if not report.failed:
        return
    for house in getattr(item.module, "houses", []):
        parts = house.devices + [getattr(house, name, None) for name in ("market", "sshd")]
        for part in parts:
            if part and part.text():
                report.sections.append((part.log.name, part.text()[-6000:]))
