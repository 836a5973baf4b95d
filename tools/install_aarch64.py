"""Install an emulated phone processor's Python with LiteRT in a folder.

    python tools/install_aarch64.py --out DIR

`DIR/bin/python` then runs scripts on 64-bit ARM, with LiteRT and NumPy at the
versions of the Python that runs this. It is Debian's own Python below
`DIR/sysroot`, in `qemu-aarch64-static`: nothing outside DIR is changed and no
rights are needed. What it computes is what the processor would compute; how
long it takes says nothing about one.

Needs Debian 12 with qemu-user-static, apt-get and dpkg-deb, and the
network.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NEEDS = {
    "qemu-aarch64-static": "apt-get install qemu-user-static",
    "apt-get": "this needs Debian",
    "dpkg-deb": "this needs Debian",
}
PACKAGES = ("python3", "libstdc++6")
# Up to Debian 12's own C library, 2.36.
PLATFORMS = ["manylinux2014_aarch64"]
PLATFORMS += [f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)]

# A usual phone core of 2018, with 8-bit dot products. qemu's default, `max`,
# has SVE too, which few phones have and which is emulated slowly.
CORE = "cortex-a76"
# LiteRT asks these what it runs on, and crashes on another architecture's
# answers; qemu looks for absolute paths below the sysroot first. They describe
# CORE: an instruction that is promised here and missing there is fatal.
DESCRIPTION = {
    "proc/cpuinfo": """\
processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp \
cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0b
CPU revision\t: 0
""",
    # As many processors as above, however many this computer has.
    "sys/devices/system/cpu/possible": "0\n",
    "sys/devices/system/cpu/present": "0\n",
    "sys/devices/system/cpu/online": "0\n",
    "sys/devices/system/cpu/kernel_max": "0\n",
}

LAUNCHER = f"""\
#!/bin/sh
# Python on an emulated ARM processor; written by tools/install_aarch64.py.
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root/site" PYTHONNOUSERSITE=1 OPENBLAS_NUM_THREADS=1
exec qemu-aarch64-static -cpu {CORE} -L "$root/sysroot" \\
    "$root/sysroot/usr/bin/python3" "$@"
"""


def missing() -> list[str]:
    """Return what this machine lacks, each with what to do about it."""
    return [
        f"no {name}: {remedy}"
        for name, remedy in NEEDS.items()
        if shutil.which(name) is None
    ]


def download_packages(folder: Path) -> list[Path]:
    """Return Debian's packages of Python for ARM, of this very release."""
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True)
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        # root's apt would download as a user who cannot write here.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        # The lock is the computer's own, which only root may take.
        "Debug::NoLocking": "true",
        "Dir::Cache": folder,
        "Dir::State::Lists": folder / "lists",
        # As if nothing was installed, so that nothing is left out.
        "Dir::State::status": "/dev/null",
    }
    apt = ["apt-get", "--quiet=2"]
    apt += [f"--option={name}={value}" for name, value in settings.items()]
    subprocess.run([*apt, "update"], check=True)
    fetch = ["install", "--yes", "--download-only", "--no-install-recommends"]
    # Quiet alone still tells each package that would be set up.
    subprocess.run(
        [*apt, *fetch, *PACKAGES], check=True, stdout=subprocess.DEVNULL
    )
    return sorted((folder / "archives").glob("*.deb"))


def build_sysroot(sysroot: Path) -> None:
    """Unpack the packages and describe the processor."""
    sysroot.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        for package in download_packages(Path(folder)):
            subprocess.run(["dpkg-deb", "-x", package, sysroot], check=True)
    if not (sysroot / "lib").exists():
        # From Debian 13 on the C library itself is below /usr.
        (sysroot / "lib").symlink_to("usr/lib")
    for name, content in DESCRIPTION.items():
        file = sysroot / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def install_wheels(site: Path, version: str) -> None:
    """Return LiteRT, NumPy and what they need, at the versions found here."""
    pip = [sys.executable, "-m", "pip"]
    freeze = ["list", "--format=freeze", "--exclude-editable"]
    found = subprocess.run(
        [*pip, *freeze], check=True, capture_output=True, text=True
    ).stdout
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(found)
        constraints.flush()
        subprocess.run(
            [
                *(*pip, "install", "--quiet", f"--target={site}"),
                *("--only-binary=:all:", "--implementation=cp"),
                f"--python-version={version}",
                *(f"--platform={platform}" for platform in PLATFORMS),
                f"--constraint={constraints.name}",
                *("ai-edge-litert", "numpy"),
            ],
            check=True,
        )


def install(out: Path) -> Path:
    """Install into a folder, anew; return the interpreter."""
    launcher = out / "bin" / "python"
    launcher.unlink(missing_ok=True)
    for name in ("sysroot", "site"):
        shutil.rmtree(out / name, ignore_errors=True)
    build_sysroot(out / "sysroot")
    version = os.readlink(out / "sysroot/usr/bin/python3")
    install_wheels(out / "site", version.removeprefix("python"))
    launcher.parent.mkdir(exist_ok=True)
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    return launcher


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    flags = parser.parse_args()
    if lacks := missing():
        sys.exit("\n".join(lacks))
    try:
        launcher = install(flags.out)
    except subprocess.CalledProcessError as error:
        # Its own words are above.
        sys.exit(f"{error.cmd[0]} failed, see above (exit {error.returncode})")
    subprocess.run(
        [
            launcher,
            "-c",
            "import platform, ai_edge_litert, numpy\n"
            "print('LiteRT', ai_edge_litert.__version__, 'and NumPy',"
            " numpy.__version__, 'on', platform.machine())",
        ],
        check=True,
    )


if __name__ == "__main__":
    main()
