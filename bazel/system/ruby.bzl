"""@system_ruby: `ruby`, the interpreter, and `headers`, ruby.h. SHMKV_RUBY overrides which one."""

load(":common.bzl", "find_programs", "library", "link_directories", "program", "query", "write_build")

_ASK = 'RbConfig::CONFIG.values_at("rubyhdrdir", "rubyarchhdrdir").zip(%w[hdr arch]) { |v, k| puts "#{k}=#{v}" }'

def _ruby_impl(rctx):
    programs = find_programs(rctx, "SHMKV_RUBY", "ruby")
    facts = query(rctx, [programs[0], "-rrbconfig", "-e", _ASK]) if programs else {}
    headers = facts and rctx.path(facts["hdr"]).get_child("ruby.h").exists
    includes = link_directories(rctx, [facts["hdr"], facts["arch"]]) if headers else []
    write_build(
        rctx,
        [
            program("ruby", programs[0] if facts else None),
            library("headers", headers, hdrs = [d + "/**/*.h" for d in includes], includes = includes),
        ],
        "Ruby with ruby.h",
        "ruby ruby-dev",
    )

system_ruby = repository_rule(
    implementation = _ruby_impl,
    configure = True,
    environ = ["PATH", "SHMKV_RUBY"],
    local = True,
)
