"""Pack the source of a released version for the test of rolling deployments: python tools/pack_version.py COMMIT

It writes tests/upgrade/before.tar.xz. Run it at each release, with the commit of the release: the next version must run
beside it. The archive is the same for the same commit. `tests/system/test_rolling_deployment.py` unpacks it.
"""

import io
import lzma
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "tests" / "upgrade" / "before.tar.xz"
LEFT_OUT = "src/hannun/web/static/vendor/"
"""Large, and no process needs it to count and to answer."""


def main(commit: str) -> None:
    """Write the archive of `src/hannun` at a commit."""
    tree = subprocess.run(["git", "archive", commit, "src/hannun"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(tree)) as source, tarfile.open(fileobj=packed, mode="w") as target:
        for member in source.getmembers():
            if member.isfile() and not member.name.startswith(LEFT_OUT):
                member.mtime, member.pax_headers = 0, {}
                target.addfile(member, source.extractfile(member))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main(*sys.argv[1:])
