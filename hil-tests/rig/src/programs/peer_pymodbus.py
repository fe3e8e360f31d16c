"""A peer in Python: pymodbus on asyncio, one connection: read, compare, write. Polled without a pause."""

import asyncio
import sys

from pymodbus.client import AsyncModbusTcpClient


async def main(host, port, register, coil, limit):
    client = AsyncModbusTcpClient(host, port=port, timeout=5, retries=0)
    if not await client.connect():
        sys.exit(f"no connection to {host}:{port}")
    runs = False
    while True:
        reply = await client.read_holding_registers(register, count=1)
        if reply.isError():
            sys.exit(f"read: {reply}")
        over = reply.registers[0] > limit
        if over == runs:
            reply = await client.write_coil(coil, not over)
            if reply.isError():
                sys.exit(f"write: {reply}")
            runs = not over


host, port, register, coil, limit = sys.argv[1:]
asyncio.run(main(host, int(port), int(register), int(coil), int(limit)))
