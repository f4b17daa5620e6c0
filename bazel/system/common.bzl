"""What the rules that look for installed software share.

Each rule makes a repository with fixed target names. When the software is absent the targets are
still there, but marked as incompatible with this platform, under a constraint whose name is the
advice: `bazel build //...` skips what needs them and builds the rest, and asking for such a target
by name fails with that sentence.
"""

def find_programs(rctx, variable, name):
    """Lists the places where a program is, best first.

    The system's own copy comes before the one in PATH: version managers (pyenv, rbenv, perlbrew) put
    shims there that often lack headers, and what the build uses should not depend on the shell it
    was started from. The environment variable overrides both.
    """
    chosen = rctx.os.environ.get(variable, "")
    if chosen:
        path = rctx.path(chosen) if "/" in chosen else rctx.which(chosen)
        if not path or not path.exists:
            fail("%s is set to '%s', which is not there" % (variable, chosen))
        return [path]
    system = rctx.path("/usr/bin/" + name)
    in_path = rctx.which(name)
    return ([system] if system.exists else []) + \
           ([in_path] if in_path and in_path != system else [])

def query(rctx, command):
    """Runs a program that prints key=value lines; gives a dict, empty if the program failed."""
    result = rctx.execute(command)
    if result.return_code != 0:
        return {}
    pairs = [line.partition("=") for line in result.stdout.splitlines()]
    return {key: value for key, separator, value in pairs if separator}

def link_directories(rctx, directories):
    """Links include directories into the repository; gives the names they have there."""
    names = []
    done = []
    for directory in directories:
        if directory not in done:
            names.append("include%d" % len(done))
            done.append(directory)
            rctx.symlink(directory, names[-1])
    return names

def find_header(rctx, header):
    """Gives the directory that has the header, or None."""

    # CPATH is what the compiler itself obeys for headers in unusual places.
    for directory in rctx.os.environ.get("CPATH", "").split(":") + ["/usr/local/include", "/usr/include"]:
        if directory and rctx.path(directory).get_child(header).exists:
            return directory
    return None

def program(name, path):
    """A program in the repository; path is None when it was not found."""
    return struct(kind = "program", name = name, found = bool(path), path = str(path or ""))

def library(name, found, hdrs = [], includes = [], linkopts = []):
    """A C library in the repository; hdrs are globs."""
    return struct(
        kind = "library",
        name = name,
        found = bool(found),
        hdrs = hdrs,
        includes = includes,
        linkopts = linkopts,
    )

_BEGIN = """\
load("@rules_cc//cc:defs.bzl", "cc_library")
load(":installed_program.bzl", "installed_program")

package(default_visibility = ["//visibility:public"])
"""

# No platform has this constraint value, so its name can be the sentence that Bazel will print.
_MISSING = """
constraint_setting(name = "installed")

constraint_value(
    name = {advice},
    constraint_setting = ":installed",
)
"""

_PROGRAM = """
installed_program(
    name = {name},
    path = {path},
    target_compatible_with = {compatible},
)
"""

_LIBRARY = """
cc_library(
    name = {name},
    hdrs = glob({hdrs}, allow_empty = True),
    includes = {includes},
    linkopts = {linkopts},
    target_compatible_with = {compatible},
)
"""

def write_build(rctx, parts, what, packages):
    """Writes the BUILD file.

    Args:
      rctx: the repository context.
      parts: what program() and library() gave.
      what: what was looked for, in words, should some part be missing.
      packages: the Debian packages that have it.
    """
    advice = "%s not found, please run 'apt-get install %s && bazel shutdown'" % (what, packages)
    text = _BEGIN
    if [part for part in parts if not part.found]:
        # buildifier: disable=print
        print("\nshmkv: %s. Targets that need it are skipped." % advice)
        text += _MISSING.format(advice = repr(advice))
    for part in parts:
        compatible = repr([] if part.found else [":" + advice])
        if part.kind == "program":
            text += _PROGRAM.format(name = repr(part.name), path = repr(part.path), compatible = compatible)
        else:
            text += _LIBRARY.format(
                name = repr(part.name),
                hdrs = repr(part.hdrs),
                includes = repr(part.includes),
                linkopts = repr(part.linkopts),
                compatible = compatible,
            )
    rctx.symlink(Label("//bazel/system:installed_program.bzl"), "installed_program.bzl")
    rctx.file("BUILD", text)
    rctx.file("WORKSPACE", "")
