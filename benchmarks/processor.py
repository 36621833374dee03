"""What figures depend on: the processor, and the widest of its instructions that matter to matrix products."""

from __future__ import annotations

import platform
from pathlib import Path

INSTRUCTIONS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx_vnni": "VNNI", "avx512_vnni": "VNNI", "amx_int8": "AMX"}


def cpu() -> str:
    """The processor's name as the kernel has it, and which of `INSTRUCTIONS` it has: "AMD EPYC (AVX2)"."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    flags = found.get("flags", "").split()
    known = ", ".join(dict.fromkeys(name for flag, name in INSTRUCTIONS.items() if flag in flags))
    name = found.get("model name", platform.processor() or platform.machine())
    return f"{name} ({known})" if known else name
