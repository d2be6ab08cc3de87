#!/usr/bin/env python3
"""Stand-ins for third-party images, of the Debian packages that are installed on this machine; scripts/stack-images imports them.

standins.py --key                     prints what the root depends on, as a short hash
standins.py                           writes a root file system for Debian, Postgres, Redis and nginx, as a tar archive
standins.py --program FILE MORE…      writes a program, the libraries it loads, and more: files, or empty folders of user 65534

Packages, their dependencies, and nothing else: no file that somebody changed or added under /etc for a daemon. It takes
seconds, and fetches nothing. Exits 3, with the reason, on a machine whose packages do not fit the images of compose.yml.
"""
import glob, hashlib, io, os, re, subprocess, sys, tarfile

RELEASE = "bookworm"
BIN = "/usr/lib/postgresql/15/bin"
# What the images are for; the packages that have these come along.
PROGRAMS = [f"{BIN}/postgres", f"{BIN}/psql", "/usr/bin/redis-server", "/usr/bin/redis-cli", "/usr/sbin/nginx", "/usr/bin/openssl"]
ALWAYS = ["apt", "ca-certificates", "debian-archive-keyring"]
# Large, and of no use here; and configuration of this machine's own daemons, which may hold secrets.
LEFT_OUT = re.compile(r"/usr/share/(doc|man|info|locale|javascript|fonts|lintian|i18n|perl|nginx/html)/"
                      r"|/usr/lib/[^/]*/(libLLVM|libz3|gconv/)|/usr/lib/llvm|/usr/lib/postgresql/[^/]*/lib/(bitcode|llvmjit)"
                      r"|/etc/(default|redis|postgresql|prometheus|nginx|init\.d|cron|logrotate|systemd|ssl/private|ufw)")
USERS = ["root:x:0:0:root:/root:/bin/bash", "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin", "man:x:6:12:man:/var/cache/man:/usr/sbin/nologin",
         "_apt:x:42:65534::/nonexistent:/usr/sbin/nologin", "nginx:x:101:101::/nonexistent:/usr/sbin/nologin",
         "postgres:x:999:999::/var/lib/postgresql:/bin/bash", "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"]
GROUPS = ["root:x:0:", "daemon:x:1:", "adm:x:4:", "tty:x:5:", "mail:x:8:", "man:x:12:", "shadow:x:42:", "staff:x:50:", "nginx:x:101:",
          "postgres:x:999:", "nogroup:x:65534:"]


def refuse(reason):
    print(f"standins: {reason}", file=sys.stderr)
    sys.exit(3)


def installed():
    """Every installed package: what it needs, and its record."""
    form = "${Package}\\t${binary:Package}\\t${db:Status-Status}\\t${Version}\\t${Essential}\\t${Priority}\\t${Pre-Depends}, ${Depends}\\t${Provides}\\n"
    found, provided = {}, {}
    for line in subprocess.check_output(["dpkg-query", "-W", "-f", form], text=True).splitlines():
        name, full, status, version, essential, priority, needs, provides = line.split("\t")
        if status != "installed":
            continue
        found[name] = dict(full=full, version=version, base=essential == "yes" or priority == "required", needs=needs)
        for other in re.findall(r"[a-z0-9][a-z0-9+.-]+(?=\s*(?:\(|,|$))", provides):
            provided.setdefault(other, name)
    return found, provided


def closure(found, provided, wanted):
    taken, rest = set(), list(wanted)
    while rest:
        name = rest.pop()
        if name in taken:
            continue
        taken.add(name)
        for clause in found[name]["needs"].split(","):
            for choice in clause.split("|"):
                choice = choice.split("(")[0].split(":")[0].strip()
                choice = choice if choice in found else provided.get(choice)
                if choice:
                    rest.append(choice)
                    break
    return sorted(taken)


def packages():
    release = open("/etc/os-release").read() if os.path.exists("/etc/os-release") else ""
    if f"VERSION_CODENAME={RELEASE}" not in release:
        refuse(f"this machine is no Debian {RELEASE}")
    owners = []
    for program in PROGRAMS:
        owner = subprocess.run(["dpkg-query", "-S", program], capture_output=True, text=True).stdout
        if not owner:
            refuse(f"no package has {program}: scripts/setup tests installs what is missing")
        owners.append(owner.split(":")[0].split(",")[0])
    found, provided = installed()
    base = [name for name, it in found.items() if it["base"]]
    return found, closure(found, provided, base + [name for name in ALWAYS if name in found] + owners)


def lists(found, names):
    """The lists of dpkg that belong to these packages."""
    for name in names:
        for stem in (found[name]["full"], name):
            if os.path.exists(f"/var/lib/dpkg/info/{stem}.list"):
                yield stem
                break


class Root:
    def __init__(self, out):
        self.tar = tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT)
        self.have = set()

    def take(self, path):
        """Takes over a file of this machine, at its true place: /bin is a link to /usr/bin."""
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if path in self.have or path == "/" or LEFT_OUT.search(path) or not os.path.lexists(path):
            return
        parent = os.path.dirname(path)
        if parent != "/":
            self.take(parent)
        self.have.add(path)
        self.tar.add(path, arcname=path.lstrip("/"), recursive=False, filter=self.plain)

    @staticmethod
    def plain(info):
        info.uname = info.gname = ""
        info.uid = 0 if info.uid > 100 else info.uid
        info.gid = 0 if info.gid > 100 else info.gid
        return info

    def write(self, path, text, mode=0o644):
        self.have.add(path)
        info = tarfile.TarInfo(path.lstrip("/"))
        data = text if isinstance(text, bytes) else text.encode()
        info.size, info.mode = len(data), mode
        self.tar.addfile(info, io.BytesIO(data))

    def link(self, path, target):
        self.have.add(path)
        info = tarfile.TarInfo(path.lstrip("/"))
        info.type, info.linkname = tarfile.SYMTYPE, target
        self.tar.addfile(info)

    def folder(self, path, mode, owner=0):
        self.have.add(path)
        info = tarfile.TarInfo(path.lstrip("/"))
        info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
        self.tar.addfile(info)


def one_program(program, more):
    root = Root(sys.stdout.buffer)
    needs = subprocess.check_output(["ldd", program], text=True) if b".interp" in open(program, "rb").read(1 << 30) else ""
    files = [path for path in more if os.path.isfile(path)]
    for path in [program, *re.findall(r"/\S+", needs), *files]:
        # Under the names by which they are asked for, whatever links lead there on this machine.
        with open(path, "rb") as file:
            root.write(path, file.read(), 0o755)
    for path in ["/tmp", *(path for path in more if path not in files)]:
        root.folder(path, 0o1777 if path == "/tmp" else 0o755, 65534)
    root.tar.close()


def main():
    if sys.argv[1:2] == ["--program"]:
        if not os.path.exists(sys.argv[2]):
            refuse(f"there is no {sys.argv[2]}: scripts/setup tests installs what is missing")
        return one_program(sys.argv[2], sys.argv[3:])
    found, names = packages()
    if sys.argv[1:] == ["--key"]:
        mark = open(__file__, "rb").read() + "".join(f"{name}={found[name]['version']}\n" for name in names).encode()
        print(hashlib.sha256(mark).hexdigest()[:12])
        return
    root = Root(sys.stdout.buffer)
    for path, mode, owner in [("/tmp", 0o1777, 0), ("/var/tmp", 0o1777, 0), ("/root", 0o700, 0), ("/run", 0o755, 0), ("/proc", 0o555, 0), ("/sys", 0o555, 0),
                              ("/dev", 0o755, 0), ("/usr/local", 0o755, 0), ("/usr/local/bin", 0o755, 0), ("/usr/local/share", 0o755, 0), ("/var/lib/dpkg/updates", 0o755, 0), ("/var/lib/apt/lists/partial", 0o755, 42), ("/data", 0o755, 999),
                              ("/var/cache/apt/archives/partial", 0o755, 42), ("/var/lib/postgresql/data", 0o755, 999)]:
        root.folder(path, mode, owner)
    # These are written anew below.
    root.have |= {"/etc/passwd", "/etc/group", "/etc/shadow", "/var/lib/dpkg/status"}
    for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(path):
            root.take(path)
    stems = list(lists(found, names))
    for stem in stems:
        for path in open(f"/var/lib/dpkg/info/{stem}.list").read().splitlines():
            root.take(path)
        for path in glob.glob(f"/var/lib/dpkg/info/{glob.escape(stem)}.*"):
            root.take(path)
    # What the packages' scripts make when they are installed: alternatives, the linker's cache, certificates.
    for path in glob.glob("/var/lib/dpkg/alternatives/*"):
        link = open(path).read().splitlines()[1]
        target = os.path.realpath(link)
        if target in root.have:
            root.take(f"/etc/alternatives/{os.path.basename(path)}")
            root.take(link)
    for path in ["/etc/ld.so.cache", "/etc/ssl/certs/ca-certificates.crt", "/etc/debian_version", "/etc/os-release", "/var/lib/dpkg/diversions"]:
        root.take(path)
    for path in glob.glob("/etc/apt/**/*", recursive=True):
        if "auth.conf" not in path:
            root.take(path)
    for name in os.listdir(BIN):
        root.link(f"/usr/local/bin/{name}", f"{BIN}/{name}")
    records = open("/var/lib/dpkg/status").read().strip("\n").split("\n\n")
    root.write("/var/lib/dpkg/status", "\n\n".join(it for it in records if it.split("\n", 1)[0][len("Package: "):] in names) + "\n")
    root.write("/etc/passwd", "\n".join(USERS) + "\n")
    root.write("/etc/group", "\n".join(GROUPS) + "\n")
    root.write("/etc/shadow", "root:*:19000:0:99999:7:::\n", 0o640)
    root.tar.close()


main()
