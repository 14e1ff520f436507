"""Writes the tables beside it: what Python's packaging (23.0) says of versions, specifiers and requirements.

    cd render/index/dist/testdata && python3 golden.py
"""

import itertools
import json
import random

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

chance = random.Random(440)


def verdict(make, error, s):
    try:
        return str(make(s))
    except error:
        return None


def write(name, rows):
    with open(name, "w") as f:
        for row in rows:
            f.write(json.dumps(row) + "\n")


# --- versions: [written, canonical or null] -----------------------------------------------------------------------

# packaging takes Unicode spaces, and a long s for an s, too: we do not.
written = {
    "", " ", "1", "v1", "V1.0", "vv1", " 1.0 ", "\t1.0\n", "1.0\v", "\r1.0\f", "1 .0", "1. 0", "01.002.0003", "0", "00", "0.0.0",
    "1.", ".1", "1..0", "1.0.", "-1", "1-", "1--1", "1_1", "1+", "1+.", "1+a..b", "1+a.", "1+.a", "1+a_b-c.d", "1+A.B", "1+001.0a.a0",
    "1+ubuntu.1", "1+1+1", "1+a!b", "1!", "!1", "1!1", "0!1", "00!1", "01!1.0", "1!!1", "1a!1", "1.0!1", "1.0.dev", "1.dev.1", "1.dev-1",
    "1.dev_01", "1dev", "1d1", "1.0a.", "1.0a--1", "1.0a..dev1", "1.0post-1", "1.0.post.", "1.0post--1", "1.0-1a", "1.0-r1",
    "1.0-rev", "1.0rev", "1.0r", "1.0rc", "1.0c", "1.0c1", "1.0pre", "1.0preview3", "1.0-Beta.2", "1.0ALPHA", "1.0al", "1.0bet", "1.0p1",
    "1.0a1rc1", "1.0.post1.post2", "1.0-1-2", "1.0-1.dev2", "1.0-1.post2", "1.0.dev1.post1", "1.0.dev1a1", "1.0.post1a1", "1.0a1.dev1",
    "1.0.post1.dev1", "1.0a1.post1.dev1+x.1", "2024.01.05", "20240105123456", "99999999999999999999999.1", "1.0a99999999999999999999999",
    "1.0+99999999999999999999", "1.0-", "1.0_", "1.0-a", "1.0_a_1_post_2_dev_3", "1.0.a.1.post.2.dev.3", "1.0-a-1-post-2-dev-3",
    "1.0a1-2", "1.0a1_2", "1.x", "x", "latest", "1.0*", "1.*", "1.0 final", "1.0final", "1.0.0.0.0", "1,0", "1/0", "1\\0", "1\u0660", "\u0661",
    "1.0\u212a", "1.0\x00", "1.0~1", "~1", "=1", "1=", "1:2", "None", "1e5", "0x1", "1.0a01", "1.0.post00",
}
epochs = ["", "", "", "0!", "1!", "2!", "010!"]
releases = ["0", "1", "1.0", "1.0.0", "1.1", "1.10", "1.2", "2", "0.9", "2024.1", "1.0.0.1", "01.0", "100000000000000000000"]
pres = ["", "", "", "a", "a0", "a1", "a2", "a10", ".alpha1", "-beta", "b1", "_b_2", "c1", "rc1", "RC.2", "preview", "pre1", "a-1", "b.3"]
posts = ["", "", "", ".post", ".post0", ".post1", "post2", "-1", "-10", ".rev3", "-r4", "_post_5"]
devs = ["", "", "", ".dev", ".dev0", ".dev1", "dev2", "-dev10", "_DEV_3"]
locals_ = ["", "", "", "", "+a", "+b", "+1", "+2", "+10", "+a.1", "+1.a", "+a-2", "+1_0", "+ubuntu.20", "+01", "+A"]
parts = [epochs, releases, pres, posts, devs, locals_]
while len(written) < 1500:
    written.add("".join(chance.choice(p) for p in parts))
while len(written) < 2100:  # and what is likely no version
    chosen = [chance.choice(p) for p in parts]
    chance.shuffle(chosen)
    written.add("".join(chosen))
while len(written) < 2600:
    written.add("".join(chance.choice("01aabcrdevpost.-_+!") for _ in range(chance.randint(1, 7))))

versions = [(s, verdict(Version, InvalidVersion, s)) for s in sorted(written)]
write("versions.jsonl", versions)

# --- their order: groups of equal ones ------------------------------------------------------------------------------

canonical = sorted({c for _, c in versions if c})
canonical.sort(key=Version)
write("order.jsonl", [list(g) for _, g in itertools.groupby(canonical, key=Version)])

# --- specifier sets: [written, valid] -------------------------------------------------------------------------------

operators = ["==", "!=", "<=", ">=", "<", ">", "~=", "===", "=", "=>", "", "~", "<>"]
wanted = ["1", "1.0", "3.8", "1.0.0", "1.*", "1.0.*", "*", "1.0a1", "1.0a1.*", "1.0.dev1", "1.0.dev1.*", "1.0.post1", "1.0.post1.*", "1.0+l",
          "1!1.0", "1!2.*", "v1.0", "", "x", "1.0 ", " 1.0", "1.0-1", "dev", "1.0+l.*", "1 0"]
specifiers = {"", ",", " ", ">=3.8,<4", ">=3.8 , <4", ">=3.8,,<4", ",>=3.8", ">=3.8,", ">=3.8 <4", ">=3.8;<4", "===anything-at.all", "=== x y",
              ">=2.7, !=3.0.*, !=3.1.*", ">=3.6.*", "(>=1)", ">=1)", ">=\u0661", "===\u0661", "===a,b", "===a)", "===a;", ">=1\n,<2", ">=1\n"}
specifiers |= {o + w for o in operators for w in wanted}
for _ in range(300):
    specifiers.add(",".join(chance.choice(operators[:8]) + chance.choice(wanted[:16]) for _ in range(chance.randint(2, 4))))
write("specifiers.jsonl", [(s, verdict(SpecifierSet, InvalidSpecifier, s) is not None) for s in sorted(specifiers)])

# --- requirements: [written, valid] ---------------------------------------------------------------------------------

requirements = {
    "a", "A.b-c_d", "a>=1", "a >=1", "a >= 1, <2", "a(>=1)", "a (>=1,<2)", "a ( >=1 )", "a()", "a[x]", "a[x,y]", "a [x , y]", "a[]", "a[x]>=1", "a [x] (>=1)",
    "a; python_version<'3'", "a ; python_version < \"3\"", "a>=1; python_version<'3' and os_name=='nt'", "a; (os_name=='a' or os_name=='b') and extra=='c'",
    "a; extra == 'x'", "a[x]>=1;extra=='y'", "a; 'linux' in sys_platform", "a; sys_platform not in 'win32 darwin'", "a; 'x' == 'y'",
    "a; python_version", "a;", "a; ()", "a; (os_name=='a'", "a; os_name=='a')", "a; os_name=='a", "a; os_name", "a; unknown=='a'", "a; os_name=a",
    "", " ", "-a", "a-", "_a", "a b", "a >= 1 b", "a[x", "a]x[", "a[x y]", "a[-x]", "a (>=1", "a >=1)", "a 1", "a =1", "a => 1", "a >= 1.*", "a ~= 1", "a == 1.*",
    "a === whatever", "a@https://x/a.whl", "a @ https://x/a.whl", "a[x] @ file:///a ; os_name=='a'", "a @", "a,b", "a;b", "a>=1,", "a>1;", "a !=1.0,!=1.1", "a\n", "a\t>=1",
    "a; platform_machine=='x86_64' and (python_version<'3.8' or implementation_name=='pypy')", "a; os.name=='nt'", "a; python_full_version<'3.7.0a1'",
    "a; extra == 'it\"s'", "a==1.0+local", "a<1.0+local", "a>=1.0.dev0", "a (==1.0) ; extra=='x'", "zope.interface>=3", "a>=1;;os_name=='a'", "a; os_name=='a';",
}
write("requirements.jsonl", [(s, verdict(Requirement, InvalidRequirement, s) is not None) for s in sorted(requirements)])
