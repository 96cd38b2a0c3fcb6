"""The count of machine instructions: the interpreter, on stored machine code, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.bench import sass
from scripts.bench.sass_interpreter import LANES, Memory, SassError, functions, run_block
from xpnet.ops import Window, conv

ROOT = Path(__file__).parents[3]
X, OUT = 2**40, 2**41
"""Addresses, which take more than 32 bits."""


def listing(*lines: str, name: str = "kernel") -> str:
    """Return a kernel as nvdisasm prints one; a line that ends in a colon is a label."""
    made, at = [f'\t.section\t.text.{name},"ax",@progbits', f".text.{name}:"], 0
    for line in lines:
        if line.endswith(":"):
            made.append(line)
        else:
            made.append(f"        /*{at:04x}*/                   {line} ;")
            at += 16
    return "\n".join(made)


def run(*lines: str, numbers: int = LANES) -> tuple[list[int], int]:
    """Run a warp; return what it wrote from R9 on, and how many instructions it was issued."""
    memory = Memory({OUT: np.zeros(4 * numbers, np.uint8)})
    code = functions(listing(
        "LDC.64 R4, c[0x0][0x210]", "S2R R0, SR_TID.X", *lines, "IMAD.WIDE.U32 R4, R0, 0x4, R4",
        "STG.E desc[UR4][R4.64], R9", "EXIT",
    ))["kernel"]  # fmt: skip
    issued = run_block(code, memory, [OUT.to_bytes(8, "little")], (0, 0, 0), 32, (1, 1, 1))
    return memory.arrays[OUT].view("<u4").tolist(), issued - 5


# A kernel -------------------------------------------------------------------------------------


def test_stored_machine_code_computes_what_numpy_does_in_so_many_instructions():
    # an im2col that divides for each number: (c kh kw, n oh ow), a thread to a number
    n, c, h, w, kh, kw, stride, pad = 3, 2, 7, 6, 3, 2, 2, 1
    oh, ow = 4, 4
    positions, cells = n * oh * ow, c * kh * kw
    x = np.random.default_rng(0).normal(size=(n, c, h, w)).astype(np.float32)
    memory = Memory(
        {X: x.reshape(-1).view(np.uint8), OUT: np.zeros(4 * cells * positions, np.uint8)}
    )
    code = functions((Path(__file__).parent / "im2col.sass").read_text())["im2col"]
    numbers = (X, OUT, n, c, h, w, kh, kw, stride, pad, oh, ow)
    arguments = [number.to_bytes(8, "little") for number in numbers]
    issued = [
        run_block(code, memory, arguments, (0, row, 0), 64, (1, cells, 1)) for row in range(cells)
    ]
    made = memory.arrays[OUT].view(np.float32).reshape(cells, positions)
    np.testing.assert_array_equal(made, conv.im2col(x, Window(kh, kw, stride, pad)).T)
    assert memory.written[OUT].all()
    assert not memory.written[X].any()
    # 48 of 64 threads have a number, so that both warps run all of it, whatever lies outside
    assert set(issued) == {2 * 170}


# Instructions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["IADD3 R9, R0, 0x5, -R0"], lambda t: 5),
        (["VIADD R9, R0, 0xffffffff"], lambda t: t - 1),
        (["MOV R1, 0xffffffff", "IADD3 R2, P0, R1, R0, RZ", "IADD3.X R9, RZ, 0x7, RZ, P0, !PT"],
         lambda t: 7 + (t > 0)),
        (["MOV R1, 0xffffffff", "IADD3 R2, P0, P1, R1, R1, R0", "IADD3.X R9, RZ, RZ, RZ, P0, P1"],
         lambda t: 1 + (t > 1)),
        (["IMAD R9, R0, R0, 0x3"], lambda t: t * t + 3),
        (["MOV R1, 0x80000001", "IMAD.HI.U32 R9, R0, R1, RZ"], lambda t: t * 0x80000001 >> 32),
        (["IMAD.MOV R1, RZ, RZ, -R0", "IMAD.WIDE R8, R1, 0x3, RZ"],
         lambda t: -1 if t else 0),  # the upper half
        (["IMAD.MOV R1, RZ, RZ, -R0", "IMAD.WIDE.U32 R8, R1, 0x3, RZ"],
         lambda t: (2**32 - t) % 2**32 * 3 >> 32),
        (["LEA R9, R0, 0x1, 0x4"], lambda t: 16 * t + 1),
        (["MOV R1, 0xf0000000", "LEA R2, P0, R1, 0xfffffff0, 0x0",
          "LEA.HI.X R9, R1, R0, RZ, 0x4, P0"], lambda t: 15 + t + 1),
        (["LEA.HI.X.SX32 R9, -0x8, R0, 0x1, !PT"], lambda t: t - 1),
        (["SHF.R.U32.HI R9, RZ, 0x1, R0"], lambda t: t >> 1),
        (["IMAD.MOV R1, RZ, RZ, -R0", "SHF.R.S32.HI R9, RZ, 0x1, R1"], lambda t: -t >> 1),
        (["LOP3.LUT R9, R0, 0x6, RZ, 0xc0, !PT"], lambda t: t & 6),
        (["LOP3.LUT R9, RZ, R0, RZ, 0x33, !PT"], lambda t: ~t),
        (["PRMT R9, R0, 0x4210, 0x55"], lambda t: 0x55000000 | t),
        (["ISETP.GT.AND P0, P1, R0, 0x7, PT", "SEL R9, 0x1, 0x2, P0", "@P1 MOV R9, 0x3"],
         lambda t: 1 if t > 7 else 3),
        (["ISETP.LT.U32.OR P0, PT, R0, 0x2, !PT", "P2R R9, PR, RZ, 0x1"], lambda t: int(t < 2)),
        (["VIADDMNMX R9, R0, -0x9, RZ, !PT"], lambda t: max(t - 9, 0)),
        (["I2F.U32.RP R1, R0", "FADD.FTZ R1, R1, 0.5", "F2I.FTZ.U32.TRUNC.NTZ R9, R1"],
         lambda t: t),
        (["HFMA2.MMA R9, -RZ, RZ, 0, 5.9604644775390625e-08"], lambda t: 1),
        (["HFMA2.MMA R1, -RZ, RZ, 1.875, 0", "FSETP.NAN.FTZ.AND P0, PT, R1, +QNAN , PT",
          "SEL R9, 0x1, RZ, P0"], lambda t: 1),
        (["VOTEU.ANY UP0, !PT", "USEL UR5, 0x1, 0x2, UP0", "MOV R9, UR5"], lambda t: 2),
    ],
)  # fmt: skip
def test_an_instruction_does_to_every_thread(lines, expected):
    made, issued = run(*lines)
    assert made == [expected(t) % 2**32 for t in range(LANES)]
    assert issued == len(lines)


def test_threads_that_part_take_the_time_of_both_ways():
    parting = [
        "BSSY B0, `(.L_x_1)", "ISETP.GE.U32.AND P0, PT, R0, 0x10, PT", "@P0 BRA `(.L_x_0)",
        "MOV R9, 0x1", "NOP", "BSYNC B0", ".L_x_0:", "MOV R9, 0x2", "BSYNC B0", ".L_x_1:",
    ]  # fmt: skip
    made, issued = run(*parting)
    assert made == [1] * 16 + [2] * 16
    assert issued == 8


def test_a_loop_lasts_as_long_as_its_longest_thread():
    made, issued = run(
        "MOV R9, RZ", ".L_x_0:", "VIADD R9, R9, 0x1", "ISETP.LE.U32.AND P0, PT, R9, R0, PT",
        "@P0 BRA `(.L_x_0)",
    )  # fmt: skip
    assert made == [t + 1 for t in range(LANES)]
    assert issued == 1 + 3 * LANES


def test_a_subroutine_comes_back():
    made, _ = run(
        "MOV R2, 0x50", "MOV R9, 0x1", "CALL.REL.NOINC `($there)", "BRA `(.L_x_0)", "$there:",
        "VIADD R9, R9, 0x1", "RET.REL.NODEC R2 `(kernel)", ".L_x_0:",
    )  # fmt: skip
    assert made == [2] * LANES


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("QUADRATURE R9, R0", "kernel: QUADRATURE is not known"),
        ("IMAD.ODD R9, R0, R0, RZ", r"IMAD.ODD: .ODD is not known"),
        ("S2R R9, SR_CLOCK", "the special register SR_CLOCK is not known"),
        ("LDG.E R9, desc[UR4][R2.64]", "no array holds all of the 4 bytes at 0x0"),
        ("LDG.E.64 R8, desc[UR4][R4.64+0x4]", "no multiple of 8"),
    ],
)
def test_what_is_not_understood_is_no_count(line, complaint):
    with pytest.raises(SassError, match=complaint):
        run(line)


def test_no_thread_writes_past_an_array():
    with pytest.raises(SassError, match="no array holds all of the 4 bytes at 0x20000000000"):
        run("MOV R9, RZ", numbers=LANES - 1)


# The command ----------------------------------------------------------------------------------


def test_the_compiler_s_account_is_read():
    account = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'max_pool' for 'sm_90'
ptxas info    : Function properties for max_pool
    8 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers, 8 bytes cumulative stack size
ptxas info    : Compiling entry function 'relu' for 'sm_90'
ptxas info    : Function properties for relu
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 0 barriers
"""
    assert sass.used(account) == ({"max_pool": 32, "relu": 10}, {"max_pool": 12, "relu": 0})


def test_blocks_are_drawn_from_the_whole_grid_and_no_more_than_there_are():
    assert sorted(sass.some_of((2, 3, 1), 8)) == [(x, y, 0) for x in range(2) for y in range(3)]
    drawn = sass.some_of((100, 16, 1), 8)
    assert len(set(drawn)) == 8
    assert all(x < 100 and y < 16 and z == 0 for x, y, z in drawn)


def test_without_a_disassembler_it_says_where_one_comes_from(capsys, monkeypatch):
    def which(name, path=None):
        return None if "nvdisasm" in name else f"/bin/{name}"

    monkeypatch.setattr(sass.shutil, "which", which)
    assert sass.main([]) == 2
    assert capsys.readouterr().err == (
        "machine instructions cannot be counted: nvdisasm is not here (CUDA's toolkit and the "
        "package triton have it, --nvdisasm says where)\n"
    )


def test_a_checkout_without_the_source_is_refused(capsys, tmp_path):
    assert sass.main(["--checkout", str(tmp_path)]) == 2
    assert "kernels is no folder" in capsys.readouterr().err


@pytest.mark.slow
def test_the_kernels_meet_their_targets(tmp_path):
    for tool in sass.TOOLS:
        try:
            sass.find(tool)
        except sass.ToolError as error:
            pytest.skip(str(error))
    found = tmp_path / "counts.json"
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench.sass", "--json", str(found)],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(found.read_text())
    aimed_at = [c for c in counts if c["target"] is not None]
    assert {c["kernel"] for c in aimed_at} == {"im2col", "col2im"}
    assert len(aimed_at) == 4
    assert {c["kernel"] for c in counts} >= {
        "max_pool", "max_pool_backward", "avg_pool", "avg_pool_backward", "responses_to_pooled",
        "pooled_to_responses",
    }  # fmt: skip
