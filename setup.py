"""Puts the folders `sweeps` and `results/reference` into the wheel; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SHIPPED = ("sweeps/*.yaml", "results/reference/*/sweep.yaml", "results/reference/**/*.parquet")


class WithSweepsAndResults(build_py):
    """Copies to `bitskip/_shipped`, where bitskip/shipped.py finds them; an editable install has the folders."""

    def run(self) -> None:
        super().run()
        for file in [] if self.editable_mode else [each for pattern in SHIPPED for each in ROOT.glob(pattern)]:
            target = Path(self.build_lib, "bitskip", "_shipped", file.relative_to(ROOT))
            self.mkpath(str(target.parent))
            self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": WithSweepsAndResults})
