"""Libraries that programs load before libc, made by the compiler that comes with Swift: a machine may have no other."""

import pathlib
import shutil

from world import run


def build_preload(source, folder):
    """Compiles a C file to a library in a folder; gives its path."""
    clang = pathlib.Path(shutil.which("swift")).resolve().with_name("clang")
    library = pathlib.Path(folder, source.with_suffix(".so").name)
    run(clang, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl")
    return library
