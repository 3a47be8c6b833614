"""Devices without a market: they ask one where nobody listens."""

import contextlib

from world import Device, Workspace


@contextlib.contextmanager
def without_market(name):
    """A world of such devices, which is searched at the end for what it left."""
    space = Workspace(name)
    space.devices = []
    yield space
    for device in space.devices:
        device.remove()
    space.remove()
    left = space.left_behind()
    assert not left, f"left behind: {left}"


def lonely_device(space, base, **options):
    """A device in it, not started."""
    number = len(space.devices)
    config = {"server": f"http://127.0.0.1:{space.port()}", "deviceId": f"11111111-2222-4333-8444-{number + 1:012}"}
    device = Device(space, {**config, "deviceKey": "0123456789abcdef" * 4}, base, name=f"d{number}", **options)
    space.devices.append(device)
    return device
