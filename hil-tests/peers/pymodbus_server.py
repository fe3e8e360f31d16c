"""A pymodbus server with memory that a test can read and write. What it obeys: README.md."""

import asyncio
import sys
import threading

from pymodbus.client import ModbusTcpClient
from pymodbus.datastore import (
    ModbusDeviceContext,
    ModbusSequentialDataBlock,
    ModbusServerContext,
)
from pymodbus.server import ModbusTcpServer

CELLS = 400
# The function code that pymodbus knows each table by.
TABLES = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
TYPES = {
    "u16": "UINT16",
    "i16": "INT16",
    "u32": "UINT32",
    "i32": "INT32",
    "u64": "UINT64",
    "i64": "INT64",
    "f32": "FLOAT32",
    "f64": "FLOAT64",
}


def swap_bytes(register):
    return (register & 0xFF) << 8 | register >> 8


def encode(kind, words, byte_order, text):
    value = float(text) if kind.startswith("f") else int(text)
    kind = ModbusTcpClient.DATATYPE[TYPES[kind]]
    registers = ModbusTcpClient.convert_to_registers(value, kind, word_order=words)
    if byte_order == "little":
        registers = [swap_bytes(register) for register in registers]
    return registers


def obey(device, line):
    match line.split():
        case ["set", table, address, value]:
            device.setValues(TABLES[table], int(address), [int(value)])
            return "ok"
        case ["get", table, address]:
            return str(int(device.getValues(TABLES[table], int(address), 1)[0]))
        case ["put", table, address, kind, words, byte_order, value]:
            registers = encode(kind, words, byte_order, value)
            device.setValues(TABLES[table], int(address), registers)
            return "ok"
    return f"error: not a command: {line.strip()}"


def listen_to_orders(loop, device, done):
    """On a thread of its own: reading standard input blocks. The memory belongs to the loop's thread."""

    def answer(line):
        try:
            print(obey(device, line), flush=True)
        except Exception as error:  # told to the test, which fails with it
            print(f"error: {error!r}", flush=True)

    for line in sys.stdin:
        loop.call_soon_threadsafe(answer, line)
    loop.call_soon_threadsafe(done.set)


async def main():
    device = ModbusDeviceContext(
        **{
            table: ModbusSequentialDataBlock(1, [0] * CELLS)
            for table in ("co", "di", "hr", "ir")
        }
    )
    context = ModbusServerContext(devices=device, single=True)
    server = ModbusTcpServer(context, address=("127.0.0.1", 0))
    await server.listen()
    print(f"port {server.transport.sockets[0].getsockname()[1]}", flush=True)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(
        target=listen_to_orders, args=(loop, device, done), daemon=True
    ).start()
    await done.wait()


asyncio.run(main())
