"""Who rents out the fleet: the market's own commands, some of them at the moment at which the market is killed."""

import asyncio
import json
import random
import subprocess


class Operator:
    """Rents a device; sometimes extends a lease, sometimes ends it by hand."""

    def __init__(self, fleet, market):
        self.fleet, self.market = fleet, market
        self.is_working = True
        self.devices = [device for device in fleet.devices if device.is_rentable]

    async def work(self):
        while self.is_working:
            await asyncio.sleep(random.uniform(0.1, 0.5))
            device = random.choice(self.devices)
            # Two hands at one device would not know what the other's has done.
            if device.sale is None or device.is_busy:
                continue
            device.is_busy = True
            if not device.sale.is_tried:
                await self.rent(device)
            elif device.sale.is_known and not device.sale.is_ending:
                await random.choice((self.extend, self.end, self.leave))(device)
            device.is_busy = False

    async def command(self, *words):
        """Its answer; None where it was refused (75), which is no fault: the device has not been heard since the market was killed, say."""
        child = await asyncio.create_subprocess_exec(
            self.market.program, *words, "--data", self.market.data, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        said, complaint = await child.communicate()
        if child.returncode == 75:
            self.fleet.refused += 1
            return None
        if child.returncode != 0:
            self.fleet.wrong(f"market {' '.join(words)}: status {child.returncode}: {complaint.decode(errors='replace')}")
            return None
        return said

    async def rent(self, device):
        sale, lease = device.sale, device.lease
        sale.is_tried = True
        said = await self.command("rent", device.name, "--for", f"{random.randrange(15, 60)}s", "--json")
        access = json.loads(said) if said else None
        if access is None or access["lease"] != lease:
            # Refused, or it offers another lease by now: this one is as it was.
            sale.is_tried = False
        if access is None:
            return
        sale = next((sale for name, sale in device.history if name == access["lease"]), None)
        if sale is None:
            return self.fleet.wrong(f"{device.name}: lease {access['lease']} was rented out, which it never registered")
        if sale.is_known:
            self.fleet.wrong(f"{device.name}: lease {access['lease']} was rented out twice")
        sale.may_end.add(access["expires"])
        sale.is_tried = sale.is_known = True
        self.fleet.rented += 1

    async def extend(self, device):
        sale, latest = device.sale, max(device.sale.may_end)
        seconds = random.randrange(10, 40)
        sale.may_end.add(latest + seconds)
        if await self.command("extend", device.name, "--for", f"{seconds}s") is None:
            sale.may_end.discard(latest + seconds)
        else:
            sale.may_end.discard(latest)
            self.fleet.extended += 1

    async def end(self, device):
        sale = device.sale
        sale.is_ending = device.is_ending = True
        if await self.command("end", device.name) is None:
            sale.is_ending = False
        else:
            self.fleet.ended += 1
        device.is_ending = False

    async def leave(self, device):
        """Most leases end by themselves."""
