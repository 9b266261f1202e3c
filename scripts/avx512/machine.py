"""An emulated processor with a Go program's code in its memory, for calling single functions of it."""

import struct

import bochscpu
import bochscpu.cpu
import bochscpu.memory as memory

PAGE = 4096
WRITABLE = 1
TABLES = 0x10000000  # physical address of the page tables
STACK, DATA, HALT = 0x7F0000000000, 0x600000000000, 0x7E0000000000


def segment(selector, attributes):
    s = bochscpu.Segment()
    s.present, s.selector, s.base, s.limit, s.attr = True, selector, 0, 0xFFFFFFFF, attributes
    return s


def refuse(address):
    raise RuntimeError(f"no page at {address:#x}")


class Machine:
    def __init__(self, program):
        self.pages = {}  # virtual to physical
        self.symbols = {}
        self.table = memory.PageMapLevel4Table()
        with open(program, "rb") as f:
            self.load(f.read())
        self.map(STACK, 4 * PAGE)
        self.map(DATA, 64 * PAGE)
        self.map(HALT, PAGE)
        for host, physical in self.table.commit(TABLES):
            memory.page_insert(physical, host)
        self.write(HALT, b"\xf4")  # HLT, where functions return to

    def load(self, elf):
        """Maps the segments of a static 64-bit ELF file and notes its symbols."""
        segments, sections = struct.unpack_from("<QQ", elf, 32)
        segment_size, n_segments, section_size, n_sections = struct.unpack_from("<4H", elf, 54)
        for i in range(n_segments):
            kind, _, offset, at, _, size, room, _ = struct.unpack_from("<2I6Q", elf, segments + i * segment_size)
            if kind == 1:
                self.map(at, room)
                self.write(at, elf[offset : offset + size])
        headers = [struct.unpack_from("<2I4Q2I2Q", elf, sections + i * section_size) for i in range(n_sections)]
        for _, kind, _, _, offset, size, names, *_ in headers:
            if kind != 2:
                continue
            for at in range(offset, offset + size, 24):
                name, _, _, _, value, _ = struct.unpack_from("<I2BH2Q", elf, at)
                start = headers[names][4] + name
                self.symbols[elf[start : elf.index(b"\0", start)].decode()] = value

    def map(self, at, size):
        for page in range(at & -PAGE, at + size, PAGE):
            if page not in self.pages:
                physical = (1 + len(self.pages)) * PAGE
                if physical >= TABLES:
                    raise RuntimeError("the program is too large")
                memory.page_insert(physical, memory.allocate_host_page())
                self.table.insert(page, physical, WRITABLE)
                self.pages[page] = physical

    def write(self, at, data):
        while data:
            n = min(len(data), PAGE - at % PAGE)
            memory.phy_write(self.pages[at & -PAGE] + at % PAGE, list(data[:n]))
            at, data = at + n, data[n:]

    def read(self, at, size):
        data = b""
        while len(data) < size:
            n = min(size - len(data), PAGE - at % PAGE)
            data += bytes(memory.phy_read(self.pages[at & -PAGE] + at % PAGE, n))
            at += n
        return data

    def call(self, symbol, *args):
        """Calls a function of Go's assembly, which has its arguments on the stack, with integers and pointers."""
        top = STACK + 2 * PAGE
        self.write(top, struct.pack(f"<{1 + len(args)}Q", HALT, *args))
        state = bochscpu.State()
        bochscpu.cpu.set_long_mode(state)
        state.cr0, state.cr3, state.cr4 = 0x80050033, TABLES, 0x406A0  # SSE and XSAVE on
        state.xcr0 = 0xE7  # all of AVX-512's registers
        state.rflags, state.mxcsr, state.mxcsr_mask = 2, 0x1F80, 0xFFBF
        state.rip, state.rsp = self.symbols[symbol], top
        state.cs = segment(0x10, 0xA09B)
        state.ds = state.es = state.ss = state.fs = state.gs = segment(0x18, 0xC093)

        faults = []

        def fault(session, cpu, vector, code):
            faults.append(f"exception {vector}, code {code}, before {session.cpu.rip:#x}")
            session.stop()

        hook = bochscpu.Hook()
        hook.hlt = lambda session, cpu: session.stop()
        hook.exception = fault
        session = bochscpu.Session()
        session.missing_page_handler = refuse
        session.cpu.set_state(state)
        session.run([hook])
        if faults:
            raise RuntimeError(f"{symbol}: {faults[0]}")
